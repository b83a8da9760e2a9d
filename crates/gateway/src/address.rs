//! Which model, target and action a request's host and path name.

use domain::{DeploymentId, ModelId};

/// Whose pool is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Environment(String),
    Development,
    Deployment(DeploymentId),
}

/// What is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'a> {
    Predict,
    /// Known, so that it can be refused with a sentence.
    AsyncPredict,
    Wake,
    Websocket,
    /// The path on the replica's own server, beginning with a slash.
    Sync(&'a str),
    /// A method of gRPC, by its path.
    Call(&'a str),
}

/// Where the model's id stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In the path, so the answer shares its origin with the dashboard.
    Path,
    /// In the host's name: an origin of its own.
    Host,
}

/// An inference address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address<'a> {
    pub model: ModelId,
    pub target: Target,
    pub action: Action<'a>,
    pub form: Form,
}

/// Reads an inference address; `None` means the request is for the application.
///
/// `host` may carry a port. Paths are taken as they are sent: nothing is decoded.
pub fn parse<'a>(domain: Option<&str>, host: &str, path: &'a str) -> Option<Address<'a>> {
    if let Some(rest) = path.strip_prefix("/model/") {
        let (model, rest) = rest.split_once('/')?;
        let (target, rest) = target(rest)?;
        return Some(Address { model: id(model)?, target, action: action(rest)?, form: Form::Path });
    }
    let (model, environment) = model_host(domain, host)?;
    let path = path.strip_prefix('/')?;
    let (target, rest) = match environment {
        Some(name) => (Target::Environment(name.to_owned()), path),
        None => target(path)?,
    };
    Some(Address { model: id(model)?, target, action: action(rest)?, form: Form::Host })
}

/// What a gRPC call says of whom it is for, beside its host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named<'a> {
    /// The model's id, with `model-` before it or not.
    pub model: Option<&'a str>,
    pub environment: Option<&'a str>,
    pub deployment: Option<&'a str>,
}

/// Reads the address of a gRPC call, whose path is the model's own: `model-{id}[-{env}].grpc.api.<domain>`, also without
/// `grpc`, or any host and a name beside it. Without an environment it is for production.
pub(crate) fn parse_call<'a>(
    domain: Option<&str>,
    host: &str,
    named: &Named<'_>,
    path: &'a str,
) -> Option<Address<'a>> {
    let (model, environment, form) = match model_host(domain, host) {
        Some((model, environment)) => (model, environment, Form::Host),
        None => {
            let model = named.model?;
            (model.strip_prefix("model-").unwrap_or(model), None, Form::Path)
        }
    };
    let name = |text: &str| domain::parse_id("target", text).ok();
    let target = match (named.deployment, environment.or(named.environment)) {
        (Some(deployment), _) => Target::Deployment(DeploymentId::new(name(deployment)?)),
        (None, environment) => Target::Environment(name(environment.unwrap_or("production"))?),
    };
    Some(Address { model: id(model)?, target, action: Action::Call(path), form })
}

fn id(text: &str) -> Option<ModelId> {
    domain::parse_id("model", text).ok().map(ModelId::new)
}

fn target(path: &str) -> Option<(Target, &str)> {
    let (first, rest) = path.split_once('/')?;
    let named = |rest: &'_ str| rest.split_once('/').map(|(name, _)| name.len());
    match first {
        "production" => Some((Target::Environment(first.to_owned()), rest)),
        "development" => Some((Target::Development, rest)),
        "environments" | "deployment" => {
            let length = named(rest)?;
            let (name, rest) = (&rest[..length], &rest[length + 1..]);
            let name = domain::parse_id("target", name).ok()?;
            Some(match first {
                "deployment" => (Target::Deployment(DeploymentId::new(name)), rest),
                _ => (Target::Environment(name), rest),
            })
        }
        _ => None,
    }
}

fn action(rest: &str) -> Option<Action<'_>> {
    match rest {
        "predict" => Some(Action::Predict),
        "async_predict" => Some(Action::AsyncPredict),
        "wake" => Some(Action::Wake),
        "websocket" => Some(Action::Websocket),
        _ => match rest.strip_prefix("sync") {
            Some(path) if path.starts_with('/') => Some(Action::Sync(path)),
            _ => None,
        },
    }
}

/// The model and perhaps the environment that a host's name carries: `model-{id}[-{env}][.grpc].api.<domain>`.
fn model_host<'a>(domain: Option<&str>, host: &'a str) -> Option<(&'a str, Option<&'a str>)> {
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let (label, rest) = host.strip_prefix("model-")?.split_once('.')?;
    let rest = rest.strip_prefix("grpc.").unwrap_or(rest).strip_prefix("api.")?;
    if !rest.eq_ignore_ascii_case("localhost") && !domain.is_some_and(|own| rest.eq_ignore_ascii_case(own)) {
        return None;
    }
    Some(match label.split_once('-') {
        Some((model, environment)) => (model, Some(environment)),
        None => (label, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(host: &str, path: &str) -> Option<(String, Target, String, Form)> {
        parse(Some("example.test"), host, path)
            .map(|a| (a.model.to_string(), a.target, format!("{:?}", a.action), a.form))
    }

    fn environment(name: &str) -> Target {
        Target::Environment(name.into())
    }

    #[test]
    fn paths_name_every_target() {
        let of = |path| read("localhost:8000", path).map(|(_, target, ..)| target);
        assert_eq!(of("/model/abc/production/predict"), Some(environment("production")));
        assert_eq!(of("/model/abc/environments/eu-1/predict"), Some(environment("eu-1")));
        assert_eq!(of("/model/abc/development/predict"), Some(Target::Development));
        assert_eq!(of("/model/abc/deployment/d1/wake"), Some(Target::Deployment(DeploymentId::new("d1"))));
    }

    #[test]
    fn sync_keeps_the_path_as_it_was_sent() {
        let path = "/model/abc/production/sync/v1/a%2Fb/";
        let address = parse(None, "h", path).unwrap();
        assert_eq!(address.action, Action::Sync("/v1/a%2Fb/"));
    }

    #[test]
    fn hosts_name_the_model_and_the_environment() {
        let (model, target, action, form) =
            read("model-abc.api.example.test:80", "/production/predict").unwrap();
        assert_eq!((model.as_str(), target, action.as_str()), ("abc", environment("production"), "Predict"));
        assert_eq!(form, Form::Host);
        let (_, target, ..) = read("model-abc-eu-1.api.localhost", "/predict").unwrap();
        assert_eq!(target, environment("eu-1"));
    }

    #[test]
    fn a_call_names_its_model_by_its_host_or_beside_it() {
        let call = |host: &str, named: Named<'_>| {
            let found = parse_call(Some("example.test"), host, &named, "/package.Service/Method")?;
            assert_eq!(found.action, Action::Call("/package.Service/Method"));
            Some((found.model.to_string(), found.target, found.form))
        };
        let none = Named::default();
        let production = Some(("abc".to_owned(), environment("production"), Form::Host));
        assert_eq!(call("model-abc.grpc.api.example.test:443", none), production);
        assert_eq!(call("model-abc.api.localhost", none), production);
        let eu = call("model-abc-eu-1.grpc.api.example.test", none);
        assert_eq!(eu.map(|found| found.1), Some(environment("eu-1")));
        for model in ["abc", "model-abc"] {
            let named = Named { model: Some(model), ..none };
            let beside = Some(("abc".to_owned(), environment("production"), Form::Path));
            assert_eq!(call("localhost:8000", named), beside);
            let target = |named| call("localhost:8000", named).map(|found| found.1);
            assert_eq!(target(Named { environment: Some("eu"), ..named }), Some(environment("eu")));
            let deployment = Target::Deployment(DeploymentId::new("d1"));
            assert_eq!(target(Named { deployment: Some("d1"), ..named }), Some(deployment));
        }
        assert_eq!(call("localhost", none), None);
        assert_eq!(call("localhost", Named { model: Some("a b"), ..none }), None);
    }

    #[test]
    fn everything_else_is_the_applications() {
        for (host, path) in [
            ("localhost", "/"),
            ("localhost", "/models/abc"),
            ("localhost", "/model/abc"),
            ("localhost", "/model/abc/production"),
            ("localhost", "/model/abc/production/predict/"),
            ("localhost", "/model/abc/production/synchronous"),
            ("localhost", "/model/a b/production/predict"),
            ("model-abc.api.elsewhere.test", "/production/predict"),
            ("model-abc.api.example.test", "/v1/models"),
            ("model-abc-eu.api.example.test", "/production/predict"),
        ] {
            assert_eq!(read(host, path), None, "{host}{path}");
        }
    }
}
