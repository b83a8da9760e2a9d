//! Whatever is sent as a path, reading it neither panics nor confuses one model with another.

use gateway::{Action, Form, Target, parse_address};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_text_is_read(host in ".{0,40}", path in ".{0,80}") {
        let _ = parse_address(Some("example.test"), &host, &path);
    }

    #[test]
    fn what_is_read_is_what_was_written(
        model in "[a-z0-9]{1,12}",
        environment in "[a-z][a-z0-9-]{0,10}[a-z0-9]",
        route in "[a-z/:%.]{0,20}",
    ) {
        let path = format!("/model/{model}/environments/{environment}/sync/{route}");
        let address = parse_address(None, "localhost", &path).unwrap();
        prop_assert_eq!(address.model.as_str(), &model);
        prop_assert_eq!(address.target, Target::Environment(environment.clone()));
        prop_assert_eq!(address.action, Action::Sync(&format!("/{route}")));
        prop_assert_eq!(address.form, Form::Path);

        let host = format!("model-{model}-{environment}.api.example.test:8000");
        let address = parse_address(Some("example.test"), &host, "/predict").unwrap();
        prop_assert_eq!(address.model.as_str(), &model);
        prop_assert_eq!(address.target, Target::Environment(environment));
        prop_assert_eq!(address.form, Form::Host);
    }

    #[test]
    fn other_paths_are_the_applications(path in "/[a-z/]{0,20}") {
        prop_assume!(!path.starts_with("/model/"));
        prop_assert_eq!(parse_address(None, "localhost:8000", &path), None);
    }
}
