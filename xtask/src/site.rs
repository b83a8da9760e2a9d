//! `cargo xtask site`: the dashboard as the browser loads it, in `target/site`.
//!
//! Nothing but crates is needed: cargo makes the WASM, wasm_split takes the pages out of it that load when they are
//! opened, wasm-bindgen (as a library, so its version is the one in Cargo.lock) makes the JavaScript, lightningcss
//! minifies the style. Names carry a hash of their content, so the server may let browsers keep them for ever.

mod chunks;
mod publish;
mod style;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use wasm_bindgen_cli_support::Bindgen;

use publish::Publisher;

/// What a browser that has never been here may load to open the dashboard, in brotli bytes. It may only shrink.
const FIRST_LOAD: usize = 300_000;
/// The same for someone who follows a link straight to a page with code of its own.
const ANY_PAGE: usize = 500_000;

#[derive(clap::Args)]
pub struct Site {
    /// Optimise for size (minutes the first time); without it, build fast for development.
    #[arg(long)]
    pub release: bool,
    /// Fail when the first load is over the budget.
    #[arg(long)]
    pub check_budget: bool,
}

/// Which files the server names in the head of each page: paths below `/`.
#[derive(Debug, Serialize)]
struct Manifest {
    js: String,
    wasm: String,
    css: String,
    /// The files of each page that has code of its own.
    chunks: BTreeMap<String, Vec<String>>,
}

impl Site {
    /// Builds the site and replaces `target/site`.
    pub fn run(&self) -> Result<()> {
        ensure!(
            self.release || !self.check_budget,
            "--check-budget needs --release: only that is compressed to the last byte"
        );
        let root = root();
        let site = root.join("target/site");
        let fresh = root.join("target/site.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).context("clearing target/site.new")?;
        }
        fs::create_dir_all(fresh.join("pkg"))?;

        let wasm = fs::read(self.build(&root)?)?;
        let made = tempfile::tempdir()?;
        let pages = chunks::split(&wasm, made.path())?;
        self.bind(&made.path().join(chunks::MAIN), made.path())?;
        let css = style::joined(&root.join("style"), self.release)?;

        let mut publisher = Publisher::new(&fresh.join("pkg"), self.release);
        let css = publisher.by_hash("app", "css", css.as_bytes())?;
        let folder = publisher.folder(made.path())?;
        let manifest = Manifest {
            js: format!("{folder}/app.js"),
            wasm: format!("{folder}/app_bg.wasm"),
            css: css.clone(),
            chunks: pages
                .iter()
                .map(|(page, files)| {
                    (page.clone(), files.iter().map(|file| format!("{folder}/{file}")).collect())
                })
                .collect(),
        };
        fs::write(fresh.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;

        if site.exists() {
            fs::remove_dir_all(&site).context("removing the previous target/site")?;
        }
        fs::rename(&fresh, &site).context("moving target/site.new to target/site")?;

        if !self.release {
            println!("site: target/site (development build)");
            return Ok(());
        }
        let shell =
            publisher.brotli(&[&css, &manifest.js, &manifest.wasm, &format!("{folder}/{}", chunks::LINK)]);
        self.weigh("/models or /sign-in", shell, FIRST_LOAD)?;
        for (page, files) in &manifest.chunks {
            let own = publisher.brotli(&files.iter().map(String::as_str).collect::<Vec<_>>());
            self.weigh(&format!("a page of kind {page}"), shell + own, ANY_PAGE)?;
        }
        Ok(())
    }

    /// Says what a browser loads that was never here.
    fn weigh(&self, page: &str, bytes: usize, budget: usize) -> Result<()> {
        println!("site: first load of {page}: {} of {}", kilobytes(bytes), kilobytes(budget));
        if self.check_budget && bytes > budget {
            bail!(
                "the first load of {page} is {} of brotli, over the budget of {}: look for a new dependency of `app`",
                kilobytes(bytes),
                kilobytes(budget)
            );
        }
        Ok(())
    }

    /// Compiles `app` for the browser, in a target folder of its own: its features would
    /// otherwise be joined with those of the server's build.
    fn build(&self, root: &Path) -> Result<PathBuf> {
        let profile = if self.release { "wasm-release" } else { "wasm-dev" };
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(root)
            .args(["rustc", "--package", "app", "--lib", "--no-default-features", "--features", "split"])
            .args(["--target", "wasm32-unknown-unknown", "--target-dir", "target/front"])
            .args(["--profile", profile])
            // What the splitter moves from file to file, it finds by the linker's own notes.
            .args(["--", "-Clink-arg=--emit-relocs"])
            .status()
            .context("starting cargo to build `app` for the browser")?;
        ensure!(
            status.success(),
            "building `app` for the browser failed; if the target is missing: rustup target add wasm32-unknown-unknown"
        );
        Ok(root.join("target/front/wasm32-unknown-unknown").join(profile).join("app.wasm"))
    }

    /// Makes the JavaScript that carries the WASM.
    fn bind(&self, wasm: &Path, out: &Path) -> Result<()> {
        let mut bindgen = Bindgen::new();
        bindgen.input_path(wasm).out_name("app").typescript(false);
        bindgen.web(true)?;
        // The pages' own files refer to what they share by the linker's names.
        bindgen.keep_lld_exports(true).demangle(false);
        if self.release {
            bindgen.remove_name_section(true).remove_producers_section(true);
        } else {
            // Names are enough to read a panic; the rest would be tens of megabytes.
            bindgen.keep_debug(false);
        }
        bindgen.generate(out).with_context(|| format!("binding {}", wasm.display()))?;
        fs::remove_file(wasm).with_context(|| format!("removing {}", wasm.display()))
    }
}

fn kilobytes(bytes: usize) -> String {
    format!("{:.1} kB", bytes as f64 / 1000.0)
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
