//! Addresses that nobody would send on purpose.

use proptest::prelude::*;

use crate::address::{Action, parse};

#[global_allocator]
static ALLOCATOR: mangle::Counting = mangle::Counting;

const HOSTS: [&str; 5] = [
    "localhost:8000",
    "model-abc.api.example.test:80",
    "model-abc-eu-1.api.localhost",
    "[::1]:8000",
    "api.localhost",
];
const PATHS: [&str; 7] = [
    "/model/abc/production/predict",
    "/model/abc/environments/eu-1/predict",
    "/model/abc/development/wake",
    "/model/abc/deployment/d1/websocket",
    "/model/abc/production/sync/v1/a%2Fb/",
    "/production/predict",
    "/v1/models/abc",
];

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_host_and_path_are_an_address_or_the_applications(
        host in mangle::mangled_text(&HOSTS),
        path in mangle::mangled_text(&PATHS),
    ) {
        let found = mangle::bounded(host.len() + path.len(), 4, || parse(Some("example.test"), &host, &path));
        if let Some(address) = found {
            prop_assert!(domain::parse_id("model", address.model.as_str()).is_ok());
            if let Action::Sync(rest) = address.action {
                prop_assert!(rest.starts_with('/') && path.ends_with(rest));
            }
        }
    }
}
