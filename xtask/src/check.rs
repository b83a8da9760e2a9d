//! `cargo xtask check`: the drawing in docs/architecture.md, kept true.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{files, functions, shell};

#[derive(clap::Args)]
pub struct Check {}

/// Which crate of ours may import which. `server` may import all of them, and nobody imports `server`.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("domain", &[]),
    ("truss", &[]),
    ("store", &["domain"]),
    ("runtime", &["domain", "truss"]),
    ("gateway", &["domain"]),
    ("engine", &["domain", "store"]),
    ("control", &["domain", "store", "truss"]),
    ("app", &["domain"]),
    ("mangle", &[]),
    ("xtask", &[]),
];

/// What only tests, examples and simulations import besides.
const ALLOWED_IN_TESTS: [(&str, &[&str]); 6] = [
    ("domain", &["mangle"]),
    ("truss", &["mangle"]),
    ("runtime", &["mangle"]),
    ("gateway", &["mangle"]),
    ("app", &["mangle"]),
    ("engine", &["gateway", "runtime", "truss"]),
];

/// What would let `domain` read, write, wait or roll dice.
const IMPURE: [&str; 6] = ["tokio", "sqlx", "axum", "hyper", "kube", "rand"];

impl Check {
    pub fn run(&self) -> Result<()> {
        let text =
            shell::output(shell::cargo().args(["metadata", "--format-version", "1", "--all-features"]))?;
        let metadata: Metadata = serde_json::from_str(&text).context("reading cargo's metadata")?;
        let mut wrong = edges(&metadata);
        wrong.extend(impurities(&metadata));
        for sentence in &wrong {
            println!("  {sentence}");
        }
        ensure!(wrong.is_empty(), "{} imports go against docs/architecture.md", wrong.len());
        println!("imports go the way docs/architecture.md draws them");
        functions::check()?;
        files::check()
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` is a normal dependency.
    kind: Option<String>,
    /// Only dependencies in this workspace have one.
    path: Option<String>,
    optional: bool,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// Imports among our crates that nobody allowed, each as a sentence.
fn edges(metadata: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    let ours = metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id));
    for package in ours.filter(|package| package.name != "server") {
        let listed = |table: &[(&str, &'static [&'static str])]| {
            table.iter().find(|(name, _)| *name == package.name).map(|(_, allowed)| *allowed)
        };
        let Some(allowed) = listed(&ALLOWED) else {
            wrong.push(format!(
                "{} is a new crate: say in xtask/src/check.rs what it may import",
                package.name
            ));
            continue;
        };
        let in_tests = listed(&ALLOWED_IN_TESTS).unwrap_or_default();
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let name = dependency.name.as_str();
            // An optional import of ours exists for a simulation; a crate that imports itself turns a feature on for its
            // own tests.
            let testing = dependency.kind.is_some() || dependency.optional;
            let fine = allowed.contains(&name) || testing && in_tests.contains(&name) || name == package.name;
            if !fine {
                wrong.push(format!("{} may not import {name}", package.name));
            }
        }
    }
    wrong
}

/// What `domain` reaches through normal imports and must not.
fn impurities(metadata: &Metadata) -> Vec<String> {
    let names: HashMap<_, _> = metadata.packages.iter().map(|package| (&package.id, &package.name)).collect();
    let nodes: HashMap<_, _> = metadata.resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut reached = HashSet::new();
    let mut ahead: Vec<_> = names.iter().filter(|(_, name)| *name == &"domain").map(|(id, _)| *id).collect();
    while let Some(id) = ahead.pop() {
        if !reached.insert(id) {
            continue;
        }
        let normal =
            |dependency: &&NodeDependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        ahead.extend(
            nodes.get(id).into_iter().flat_map(|node| node.deps.iter().filter(normal).map(|dep| &dep.pkg)),
        );
    }
    let found =
        reached.into_iter().filter_map(|id| names.get(id)).filter(|name| IMPURE.contains(&name.as_str()));
    found.map(|name| format!("domain reaches {name}, and must not read, write, wait or roll dice")).collect()
}
