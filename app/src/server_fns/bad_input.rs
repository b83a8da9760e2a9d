//! Forms and queries of the dashboard that nobody would send on purpose.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::Request;
use leptos::server_fn::axum_export::body::Body;
use leptos::server_fn::codec::{FromReq, GetUrl, PostUrl};
use proptest::prelude::*;

use super::keys::listed;
use super::sent::{checked, number};
use super::settings::{ramp_up, rolling};
use super::{
    CreateEnvironment, CreateKey, Join, Promote, ReadActivity, ReadLogs, ReadMetrics, ReadModels,
    ReadScaling, ReadUsage, RestrictEnvironment, SetSecret, SignInWith, TryRequest, UpdateAutoscaling,
    UpdatePromotionSettings,
};
use crate::backend::{DAYS, HOURS};
use crate::error::AppError;
use crate::unread;
use crate::window::parse_window;

/// For all readers of this crate.
#[global_allocator]
static ALLOCATOR: mangle::Counting = mangle::Counting;

/// Reads the arguments of one server function, as its door does.
type Reader = fn(&[u8]) -> Result<(), AppError>;

const OF_FORMS: [Reader; 10] = [
    form::<Promote>,
    form::<CreateEnvironment>,
    form::<RestrictEnvironment>,
    form::<UpdateAutoscaling>,
    form::<UpdatePromotionSettings>,
    form::<CreateKey>,
    form::<SetSecret>,
    form::<Join>,
    form::<SignInWith>,
    form::<TryRequest>,
];
const OF_QUERIES: [Reader; 6] = [
    query::<ReadActivity>,
    query::<ReadLogs>,
    query::<ReadMetrics>,
    query::<ReadModels>,
    query::<ReadScaling>,
    query::<ReadUsage>,
];

const FORMS: [&str; 5] = [
    "model_id=m&deployment_id=d&environment=production&strategy=canary&window=10m&keep_own_instance_type=on",
    "model_id=m&name=eu&min_replica=0&max_replica=2&ramp_up_duration=1h+30m&restricted=on&people[]=u1&people%5B%5D=u2",
    "model_id=m&environment=eu&promotion_cleanup_strategy=KEEP&rolling_deploy=true&max_surge_percent=25",
    "email=a%40b.test&password=hush&token=t&key=k&next=%2Fmodels&name=caller&kind=personal&models=m%2Cn",
    "model_id=m&deployment_id=d&input=%7B%22a%22%3A1%7D&name=token&value=hush&people[0]=a&people[1][b][c]=d",
];
const QUERIES: [&str; 4] = [
    "model_id=m&deployment_id=d&level=ERROR&search=a+-b&after=17&before=0",
    "model_id=m&scope=environments&id=production&period=1h&hours=24&days=7",
    "filter=echo&cursor=1.a&group=CODE&who=a&source=UI&from=2026-01-01&to=2026-01-31",
    "model_id=m&environment=eu&filter[]=a&filter[b]=c",
];

fn form<F: FromReq<PostUrl, Request<Body>, AppError>>(fields: &[u8]) -> Result<(), AppError> {
    at_once(F::from_req(Request::new(Body::from(fields.to_vec())))).map(|_| ())
}

fn query<F: FromReq<GetUrl, Request<Body>, AppError>>(text: &[u8]) -> Result<(), AppError> {
    let address = format!("/?{}", String::from_utf8_lossy(text));
    // What can't stand in an address can't be sent.
    let Ok(request) = Request::get(address).body(Body::empty()) else { return Ok(()) };
    at_once(F::from_req(request)).map(|_| ())
}

/// What comes of reading something that is here already.
fn at_once<T>(reading: impl Future<Output = T>) -> T {
    match pin!(reading).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(read) => read,
        Poll::Pending => panic!("all of the request is here, and more is waited for"),
    }
}

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_form_is_read_or_refused_with_a_field(
        fields in mangle::mangled(Vec::from(FORMS.map(|form| form.as_bytes().to_vec()))),
    ) {
        for read in OF_FORMS {
            match mangle::bounded(fields.len(), 500, || read(&fields)) {
                Err(AppError::Invalid { field, message }) => {
                    prop_assert!(!field.is_empty() && !message.is_empty(), "{field}: {message}");
                }
                // A body that is no text in UTF-8 could not be received.
                Err(AppError::Connection { .. }) => prop_assert!(std::str::from_utf8(&fields).is_err()),
                Err(other) => panic!("{other:?}"),
                Ok(()) => {}
            }
        }
    }

    #[test]
    fn any_query_is_read_or_refused_with_a_field(text in mangle::mangled_text(&QUERIES)) {
        for read in OF_QUERIES {
            match mangle::bounded(text.len(), 500, || read(text.as_bytes())) {
                Err(AppError::Invalid { field, message }) => {
                    prop_assert!(!field.is_empty() && !message.is_empty(), "{field}: {message}");
                }
                Err(other) => panic!("{other:?}"),
                Ok(()) => {}
            }
        }
    }

    #[test]
    fn any_value_of_a_field_is_read_or_refused_with_its_name(text in mangle::mangled_text(&[
        "25", "-1", "9223372036854775808", "true", "on", "10m", "1h 30m", "604800", "production, staging",
    ])) {
        let sent = || Some(text.clone());
        let all = mangle::bounded(text.len(), 64, || [
            ("max_replica", number("max_replica", sent()).map(|_| ())),
            ("restricted", checked("restricted", sent()).map(|_| ())),
            ("max_surge_percent", rolling(sent(), None, None, None).map(|_| ())),
            ("ramp_up_duration", ramp_up(&text).map(|_| ())),
            ("window", parse_window(&text).map(|_| ()).map_err(AppError::from)),
            ("days", DAYS.read(&text).map(|_| ()).map_err(AppError::from)),
            ("hours", HOURS.read(&text).map(|_| ()).map_err(AppError::from)),
        ]);
        for (name, read) in all {
            if let Err(error) = read {
                let is_named = matches!(&error, AppError::Invalid { field, .. } if field == name);
                prop_assert!(is_named, "{name}: {error:?}");
            }
        }
        let list = mangle::bounded(text.len(), 64, || listed(&text));
        prop_assert!(list.is_none_or(|list| !list.is_empty() && !list.contains(&String::new())));
    }

    #[test]
    fn any_refusal_is_told_with_a_field(said in mangle::mangled_text(&[
        "missing field `name`",
        "duplicate field `name`",
        "Multiple values for one key: \"name\"",
        "invalid type: string \"hush\", expected a sequence",
        "invalid type: map, expected a string",
    ])) {
        match mangle::bounded(said.len(), 16, || unread::told(&said)) {
            AppError::Invalid { field, .. } => {
                prop_assert!((1..=200).contains(&field.chars().count()), "{}", field);
            }
            other => panic!("{other:?}"),
        }
    }
}
