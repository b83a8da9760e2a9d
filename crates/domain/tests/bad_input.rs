//! Names, ids, searches and places that nobody would write on purpose.

use domain::{
    DeploymentName, EnvironmentName, Invalid, LogPlaces, LogQuery, ModelName, SecretName, parse_id,
};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: mangle::Counting = mangle::Counting;

const NAMES: [&str; 6] = ["better-iris.1775156532", "production", "My model ä", "HF_TOKEN", "d007x0000", "-"];
const SEARCHES: [&str; 4] = [
    r#"disk "is full" -retry -"not now""#,
    r"/took \d+ ms/ replica:abcde request:r-1",
    "requestId:\"x y\" /v1/models/ -- \"",
    "replica: /(/ -/a/",
];
const PLACES: [&str; 3] = ["", "1764210000000000000", "1764210000000000000~abcdefg.1764210000000000001~h.4"];

/// A refusal says which field and what to do; what is taken is what was given.
fn judged<T: std::fmt::Display>(field: &str, text: &str, result: Result<T, Invalid>) {
    match result {
        Ok(taken) => assert_eq!(taken.to_string(), text),
        Err(invalid) => {
            assert_eq!(invalid.field, field);
            assert!(!invalid.problem.is_empty());
            assert!(
                invalid.problem.len() < 500,
                "a refusal repeats no more than it must: {}",
                invalid.problem.len()
            );
        }
    }
}

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_name_is_taken_as_it_is_or_refused_with_its_field(text in mangle::mangled_text(&NAMES)) {
        mangle::bounded(text.len(), 16, || {
            let name = |result: Result<String, Invalid>| result.map_err(|invalid| invalid.field);
            let _ = name(ModelName::new(text.clone()).map(|name| name.to_string()));
            judged("name", &text, DeploymentName::new(text.clone()));
            let _ = name(EnvironmentName::new(text.clone()).map(|name| name.to_string()));
            let _ = name(SecretName::new(text.clone()).map(|name| name.to_string()));
            judged("model_id", &text, parse_id("model_id", &text));
        });
    }

    #[test]
    fn any_search_is_understood_somehow(text in mangle::mangled_text(&SEARCHES)) {
        let query = mangle::bounded(text.len(), 64, || LogQuery::default().searching(&text));
        let parts = query.includes.iter().chain(&query.excludes).chain(&query.search_pattern);
        for part in parts {
            prop_assert!(!part.is_empty() && text.contains(part.as_str()), "{part:?}");
        }
    }

    #[test]
    fn any_place_in_a_log_is_understood_or_refused_with_its_field(text in mangle::mangled_text(&PLACES)) {
        match mangle::bounded(text.len(), 64, || text.parse::<LogPlaces>()) {
            Ok(places) => prop_assert_eq!(places.to_string().parse::<LogPlaces>(), Ok(places)),
            Err(invalid) => prop_assert_eq!(invalid.field, "after"),
        }
    }
}
