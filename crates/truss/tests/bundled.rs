//! The Trusses of this repository are good ones.

use std::fs;
use std::path::Path;

use truss::{Config, Validation, validate, validate_files};

#[test]
fn every_truss_of_this_repository_is_valid_and_names_its_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut seen = 0;
    for (folder, is_example) in [("examples", true), ("end2end/trusses", false)] {
        for item in fs::read_dir(root.join(folder)).unwrap() {
            let truss = item.unwrap().path();
            if !truss.join("config.yaml").is_file() {
                continue;
            }
            seen += 1;
            let config = Config::from_yaml(&fs::read_to_string(truss.join("config.yaml")).unwrap()).unwrap();
            assert_eq!(validate(&config), Validation::default(), "{}", truss.display());
            assert_eq!(validate_files(&config, &truss), Validation::default(), "{}", truss.display());
            assert!(config.model_name.is_some(), "{}", truss.display());
            assert_eq!(config.example_model_input.is_some(), is_example, "{}", truss.display());
        }
    }
    assert!(seen >= 7, "only {seen} were found");
}
