use tempfile::TempDir;

use super::*;

const SERVER: ServerNeeds<'static> = ServerNeeds {
    version: "0.18.35",
    requirements: "# base\n-i https://index.example/simple\n\nfastapi>=0.114,<0.125.0\nnumpy>=1.23.5,<2.0 # not 2\nmsgpack_numpy==0.4.8\n",
    constraints: "numpy>=1.23.5,<3.0\n",
};

fn plan(yaml: &str, files: &[(&str, &str)]) -> Result<InstallPlan, RequirementsError> {
    let truss = TempDir::new().unwrap();
    for (path, text) in files {
        fs::create_dir_all(truss.path().join(path).parent().unwrap()).unwrap();
        fs::write(truss.path().join(path), text).unwrap();
    }
    InstallPlan::of_truss(&Config::from_yaml(yaml).unwrap(), truss.path(), SERVER)
}

#[test]
fn what_the_user_names_replaces_the_servers_line_and_index_options_go() {
    let plan =
        plan("python_version: py311\nrequirements: ['NumPy==1.26.4  # mine', Msgpack.Numpy==0.4.8]", &[])
            .unwrap();
    assert_eq!(plan.python, "3.11");
    assert_eq!(
        plan.steps,
        [Step::Lines(vec![
            "fastapi>=0.114,<0.125.0".into(),
            "NumPy==1.26.4".into(),
            "Msgpack.Numpy==0.4.8".into()
        ])]
    );
    assert_eq!(plan.constraints, SERVER.constraints);
}

#[test]
fn each_kind_of_requirements_file_is_a_step_before_the_server() {
    let project = "[project]\nname = 'x'\ndependencies = ['numpy==1.26.4', './local']\n";
    let lines = Step::Lines(vec!["fastapi>=0.114,<0.125.0".into(), "msgpack_numpy==0.4.8".into()]);
    let pip = plan("requirements_file: reqs/pip.txt", &[("reqs/pip.txt", "numpy\n")]).unwrap();
    assert_eq!(pip.steps, [Step::PipFile("reqs/pip.txt".into()), lines.clone()]);
    let toml = plan("requirements_file: ./pyproject.toml", &[("pyproject.toml", project)]).unwrap();
    assert_eq!(toml.steps, [Step::Pyproject("./pyproject.toml".into()), lines.clone()]);
    let lock = plan("requirements_file: uv.lock", &[("pyproject.toml", project), ("uv.lock", "version = 1")])
        .unwrap();
    assert_eq!(lock.steps, [Step::Lock("uv.lock".into()), lines]);
}

#[test]
fn a_custom_server_needs_only_what_the_user_names() {
    let server = "docker_server: {start_command: run, server_port: 9000}\n";
    assert!(plan(server, &[]).unwrap().steps.is_empty());
    let own = plan(&format!("{server}requirements: [flask]"), &[]).unwrap();
    assert_eq!(own.steps, [Step::Lines(vec!["flask".into()])]);
}

#[test]
fn the_key_tells_environments_apart_and_only_those() {
    fn key(yaml: &str, files: &[(&str, &str)]) -> String {
        plan(yaml, files).unwrap().key
    }
    let base = key("requirements: [a==1]", &[]);
    assert_eq!(base, key("model_name: other\nrequirements: ['  a==1   # why']", &[("model/model.py", "x")]));
    assert_ne!(base, key("requirements: [a==2]", &[]));
    assert_ne!(base, key("python_version: py311\nrequirements: [a==1]", &[]));
    let with_file = |text: &str| key("requirements_file: r.txt", &[("r.txt", text)]);
    assert_ne!(with_file("a"), with_file("b"));
    let nested =
        |inner: &str| key("requirements_file: r.txt", &[("r.txt", "-r more.txt"), ("more.txt", inner)]);
    assert_ne!(nested("a"), nested("b"), "a file that is included counts");
}

#[test]
fn a_file_that_is_missing_or_outside_is_refused_by_name() {
    let message = |yaml: &str| plan(yaml, &[]).unwrap_err().to_string();
    assert!(message("requirements_file: r.txt").contains("`requirements_file: r.txt` can't be read"));
    assert!(message("requirements_file: ../r.txt").contains("inside the Truss"));
    assert!(message("requirements_file: /etc/passwd").contains("inside the Truss"));
    assert!(message("python_version: py27").contains("py27"));
}

#[test]
fn lines_are_told_apart() {
    for good in [
        "numpy",
        "numpy==1.26.4",
        "scikit_learn >= 1.5, < 2",
        "uvicorn[standard]>=0.24",
        "a ; python_version < '3.12'",
        "pkg @ https://x.example/p.whl",
        "git+https://g.example/r.git@main#egg=x",
        "-r other.txt",
        "--extra-index-url https://x",
        "./wheels/a.whl",
        "",
        "# note",
        "a (>=1.0)",
        "torch==2.1.0+cpu",
        "a==1 --hash=sha256:00",
    ] {
        assert!(is_parsable(good), "{good}");
    }
    for bad in ["numpy==", "num py", "=1.0", "a=1.0", "a>>1", "a==1.0 b", "a ;", "[x]", "!", "a @ b"] {
        assert!(!is_parsable(bad), "{bad}");
    }
    assert_eq!(package_name("Foo__Bar.baz[x]>=1 # c").as_deref(), Some("foo-bar-baz"));
    assert_eq!(package_name("git+https://g.example/r.git"), None);
}

#[test]
fn commands_install_in_order_into_the_given_python() {
    let work = TempDir::new().unwrap();
    let plan =
        plan("requirements_file: uv.lock", &[("pyproject.toml", "[project]"), ("uv.lock", "")]).unwrap();
    let commands = plan.uv_commands(Path::new("/t"), work.path(), Path::new("/v/bin/python")).unwrap();
    let words: Vec<Vec<&str>> =
        commands.iter().map(|c| c.args.iter().filter_map(|a| a.to_str()).collect()).collect();
    assert_eq!(words.len(), 3);
    assert_eq!(words[0][..2], ["export", "--frozen"]);
    assert_eq!(words[2][..4], ["pip", "install", "--python", "/v/bin/python"]);
    assert!(fs::read_to_string(work.path().join("requirements.txt")).unwrap().starts_with("fastapi"));
    assert_eq!(fs::read_to_string(work.path().join("constraints.txt")).unwrap(), SERVER.constraints);
}

#[test]
fn without_a_cache_nothing_is_taken_from_one() {
    let work = TempDir::new().unwrap();
    let cacheless = |yaml: &str| {
        let plan = plan(yaml, &[]).unwrap();
        let commands = plan.uv_commands(Path::new("/t"), work.path(), Path::new("/v/bin/python")).unwrap();
        assert_eq!(commands.len(), 1);
        commands[0].args.iter().any(|word| word == "--no-cache")
    };
    assert!(cacheless("build: {no_cache: true}\nrequirements: [a==1]"));
    assert!(!cacheless("requirements: [a==1]"));
}
