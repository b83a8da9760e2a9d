//! Reading what pages show: on the server by calling the server function, in the browser by asking
//! for it.
//!
//! Both give the data as JSON text, and so the machinery that loads, carries and refreshes it is
//! made once, not once for each page. That is a tenth of the WASM.

use std::pin::Pin;

use crate::erase::Erase;
use leptos::prelude::*;
use leptos::server::codee::{Decoder, Encoder};
use serde::de::DeserializeOwned;

use crate::components::{ErrorView, Loading};
use crate::error::AppError;

/// The JSON of a page's data, on its way.
pub type Reading = Pin<Box<dyn Future<Output = Result<String, AppError>> + Send>>;

macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident = $function:ident($($argument:ident: $type:ty),*);)*) => {$(
        $(#[$doc])*
        pub fn $name($($argument: $type),*) -> Reading {
            #[cfg(feature = "ssr")]
            {
                Box::pin(async move {
                    // As text, as it comes from a browser.
                    let value = crate::server_fns::$function($($argument.to_string()),*).await?;
                    serde_json::to_string(&value)
                        .map_err(|error| AppError::Internal { message: format!("The page could not be written: {error}") })
                })
            }
            #[cfg(not(feature = "ssr"))]
            {
                $(let $argument = $argument.to_string();)*
                let path = concat!("/api/ui/", stringify!($name));
                crate::transport::get(path, &[$((stringify!($argument), $argument.as_str())),*])
            }
        }
    )*};
}

reads! {
    session = read_session();
    /// Models with this in their names, after a place in their list.
    models = read_models(filter: String, cursor: String);
    /// A model with the deployments of its list after a place; from the newest on if it is empty.
    model = read_model(model_id: String, cursor: String);
    environment = read_environment(model_id: String, environment: String);
    deployment = read_deployment(model_id: String, deployment_id: String);
    /// The last lines of the log of a deployment or of an environment, or those after or before a line.
    logs = read_logs(
        model_id: String,
        deployment_id: String,
        environment: String,
        level: String,
        search: String,
        after: i64,
        before: i64
    );
    /// How it scaled in the last hours.
    scaling = read_scaling(model_id: String, deployment_id: String, hours: u32);
    /// How the development deployment takes changes in place.
    live = read_live(model_id: String);
    /// What was measured of its requests: `scope` is deployments or environments.
    metrics = read_metrics(model_id: String, scope: String, id: String, period: String);
    replicas = read_replicas(model_id: String, deployment_id: String);
    /// What was used in this many days, as the address says them: whether they can be had is the server's to say.
    usage = read_usage(days: String);
    reference = read_reference();
    people = read_people();
    keys = read_keys();
    secrets = read_secrets();
    /// What a one-time link is for.
    link = read_link(token: String);
    /// What was done, of a model or of the workspace.
    activity = read_activity(
        model_id: String,
        group: String,
        who: String,
        deployment: String,
        environment: String,
        source: String,
        from: String,
        to: String,
        cursor: String
    );
}

/// Reads the text as what it is.
///
/// # Errors
/// It has another form: the page was open while the server was upgraded.
pub fn decode<T: DeserializeOwned>(text: &str) -> Result<T, AppError> {
    serde_json::from_str(text).map_err(|_| AppError::Unavailable {
        message: "The server's answer is of another version than this page. Reload the page.".into(),
    })
}

/// Carries the text from the server's rendering to the browser as it is: a mark, then the JSON of
/// the data or of the error.
pub struct Carried;

const DATA: char = '=';
const ERROR: char = '!';

impl Encoder<Result<String, AppError>> for Carried {
    type Error = serde_json::Error;
    type Encoded = String;

    fn encode(value: &Result<String, AppError>) -> Result<String, Self::Error> {
        Ok(match value {
            Ok(text) => format!("{DATA}{text}"),
            Err(error) => format!("{ERROR}{}", serde_json::to_string(error)?),
        })
    }
}

impl Decoder<Result<String, AppError>> for Carried {
    type Error = serde_json::Error;
    type Encoded = str;

    fn decode(text: &str) -> Result<Result<String, AppError>, Self::Error> {
        match text.strip_prefix(DATA) {
            Some(text) => Ok(Ok(text.to_owned())),
            None => serde_json::from_str(text.trim_start_matches(ERROR)).map(Err),
        }
    }
}

/// A page made of its data, and made anew when `which` changes, such as with the address.
#[component]
pub fn Loaded(
    /// What is asked for.
    #[prop(into)]
    which: Signal<Vec<String>>,
    read: fn(Vec<String>) -> Reading,
    /// The page from its data.
    body: fn(&str) -> Result<AnyView, AppError>,
    /// A small part of a page: shows nothing while it loads or when it can't.
    #[prop(optional)]
    quiet: bool,
) -> impl IntoView {
    let text =
        ArcResource::<Result<String, AppError>, Carried>::new_with_options(move || which.get(), read, false);
    view! {
        <Transition fallback=move || (!quiet).then(|| view! { <Loading /> })>
            {move || {
                let text = text.clone();
                Suspend::new(async move {
                    match text.await {
                        Ok(text) => {
                            when_written(move || body(&text).unwrap_or_else(|error| instead(error, quiet)))
                        }
                        Err(error) => instead(error, quiet),
                    }
                })
            }}
        </Transition>
    }
    .erased()
}

/// What is shown where a page can't be.
fn instead(error: AppError, quiet: bool) -> AnyView {
    match quiet {
        true => ().erased(),
        false => view! { <ErrorView error=error /> }.erased(),
    }
}

/// The page, made when it is written. The server looks into a page before that, whether something in it is still to be
/// waited for, and would make all of it for that look alone, reading what its parts read. There is nothing to find: a part
/// that waits has a [`Loaded`] of its own.
#[cfg(feature = "ssr")]
fn when_written(make: impl FnOnce() -> AnyView + Send + 'static) -> AnyView {
    Unsuspend::new(make).erased()
}

/// In the browser nobody looks into it before.
#[cfg(not(feature = "ssr"))]
fn when_written(make: impl FnOnce() -> AnyView) -> AnyView {
    make()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_errors_are_carried_whole() {
        for value in
            [Ok(r#"{"name":"=!"}"#.to_owned()), Err(AppError::not_found("gone")), Err(AppError::Unauthorized)]
        {
            let carried = Carried::encode(&value).unwrap();
            assert_eq!(Carried::decode(&carried).unwrap(), value);
        }
    }

    #[test]
    fn what_a_newer_server_says_otherwise_asks_for_a_reload() {
        let point: Result<crate::view::MetricPoint, _> = decode(r#"{"at":1,"cores":"many"}"#);
        assert!(point.unwrap_err().to_string().contains("Reload the page"));
    }
}
