use tempfile::TempDir;

use super::*;

fn write(root: &Path, files: &[&str]) {
    for path in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
    }
}

fn laid_out(yaml: &str, truss: &[&str]) -> Result<TempDir, LayoutError> {
    let place = TempDir::new().unwrap();
    write(&place.path().join("truss"), truss);
    write(
        &place.path().join("templates"),
        &["server/main.py", "server/_truss_common/errors.py", "shared/util.py"],
    );
    write(&place.path().join("templates"), &["server/__pycache__/main.pyc"]);
    let at = |name: &str| place.path().join(name);
    lay_out(&Config::from_yaml(yaml).unwrap(), &at("truss"), &at("templates"), &at("dest"))?;
    Ok(place)
}

#[test]
fn a_model_gets_the_server_around_it() {
    let place = laid_out(
        "model_module_dir: src\nbundled_packages_dir: libs",
        &["config.yaml", "src/model.py", "src/deep/er.py", "data/w.bin", "libs/tool/a.py", "notes.txt"],
    )
    .unwrap();
    let dest = place.path().join("dest");
    for path in [
        "app/main.py",
        "app/_truss_common/errors.py",
        "app/_truss_shared/util.py",
        "app/model/model.py",
        "app/model/deep/er.py",
        "app/data/w.bin",
        "app/config.yaml",
        "packages/tool/a.py",
    ] {
        assert!(dest.join(path).is_file(), "{path}");
    }
    assert!(!dest.join("app/notes.txt").exists() && !dest.join("app/__pycache__").exists());
    let config = Config::from_yaml(&fs::read_to_string(dest.join("app/config.yaml")).unwrap()).unwrap();
    assert_eq!((config.model_module_dir.as_str(), config.bundled_packages_dir.as_str()), ("model", "libs"));
    assert_eq!(config.full()["runtime"]["predict_concurrency"], 1, "defaults are written out");
}

#[test]
fn a_custom_server_gets_its_files_alone() {
    let place = laid_out(
        "docker_server: {start_command: run}",
        &["config.yaml", "server.py", "data/x.py", "packages/p.py"],
    )
    .unwrap();
    let dest = place.path().join("dest");
    for path in ["app/server.py", "app/data/x.py", "app/config.yaml", "packages/p.py"] {
        assert!(dest.join(path).is_file(), "{path}");
    }
    assert!(!dest.join("app/main.py").exists());
}

#[test]
fn data_is_there_even_when_the_truss_has_none_and_copies_are_independent() {
    let place = laid_out("", &["model/model.py"]).unwrap();
    assert!(place.path().join("dest/app/data").is_dir() && place.path().join("dest/packages").is_dir());
    fs::write(place.path().join("dest/app/model/model.py"), "changed").unwrap();
    assert_eq!(fs::read_to_string(place.path().join("truss/model/model.py")).unwrap(), "model.py");
}

#[test]
fn folders_outside_and_links_are_refused() {
    for yaml in [
        "model_module_dir: ../x",
        "data_dir: /etc",
        "bundled_packages_dir: a/../../b",
        "model_module_dir: ''",
    ] {
        assert!(matches!(laid_out(yaml, &["model/model.py"]), Err(LayoutError::Outside { .. })), "{yaml}");
    }
    assert!(matches!(laid_out("", &["other/model.py"]), Err(LayoutError::NoModel { .. })));
    let place = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/etc", place.path().join("link")).unwrap();
    assert!(matches!(copy_tree(place.path(), &place.path().join("copy")), Err(LayoutError::Link { .. })));
}
