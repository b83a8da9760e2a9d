use serde_json::Value;
use tempfile::TempDir;

use super::*;

/// A folder whose hash and signature were computed by the `truss` package.
fn golden() -> (Value, TempDir) {
    let golden: Value = serde_json::from_str(include_str!("../../fixtures/tree.json")).unwrap();
    let folder = TempDir::new().unwrap();
    for (path, text) in golden["files"].as_object().unwrap() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.as_str().unwrap()).unwrap();
    }
    for path in golden["folders"].as_array().unwrap() {
        fs::create_dir_all(folder.path().join(path.as_str().unwrap())).unwrap();
    }
    (golden, folder)
}

#[test]
fn the_signature_is_the_one_the_package_computes() {
    let (golden, folder) = golden();
    let rules = IgnoreRules::of_truss(folder.path(), "").unwrap().without_data("data").unwrap();
    let signature = Signature::of_truss(folder.path(), &rules).unwrap();
    assert_eq!(serde_json::to_value(&signature).unwrap(), golden["signature"]);
    assert_eq!(signature.hash(), golden["hash"].as_str().unwrap());
}

#[test]
fn the_hash_of_a_folder_is_the_one_the_package_computes() {
    let (golden, folder) = golden();
    let hash = tree(folder.path(), &IgnoreRules::default()).unwrap();
    assert_eq!(hash, golden["hash_of_everything"].as_str().unwrap());
}

#[test]
fn a_truss_without_a_list_of_its_own_uses_the_default() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.pyc"), "x").unwrap();
    let rules = IgnoreRules::of_truss(folder.path(), "*.pyc").unwrap();
    assert!(contents(folder.path(), &rules).unwrap().is_empty());
}
