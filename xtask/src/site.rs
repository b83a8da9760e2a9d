//! `cargo xtask site`: the dashboard as the browser loads it, in `target/site`.
//!
//! Nothing but crates is needed: cargo makes the WASM, wasm-bindgen (as a library, so its version
//! is the one in Cargo.lock) makes the JavaScript, lightningcss minifies the style. Names carry a
//! hash of their content, so the server may let browsers keep them for ever.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use lightningcss::stylesheet::{MinifyOptions, ParserOptions, PrinterOptions, StyleSheet};
use serde::{Deserialize, Serialize};
use wasm_bindgen_cli_support::Bindgen;

/// What a browser that has never been here may load, in brotli bytes. Measured 353 KB; it may only shrink.
const BUDGET: usize = 356 * 1024;

/// The order of the cascade; the style is one file in the end.
const STYLES: [&str; 6] =
    ["tokens.css", "base.css", "layout.css", "components.css", "pages.css", "print.css"];

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
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    js: String,
    wasm: String,
    css: String,
}

impl Site {
    /// Builds the site and replaces `target/site`.
    pub fn run(&self) -> Result<()> {
        let root = root();
        let site = root.join("target/site");
        let fresh = root.join("target/site.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).context("clearing target/site.new")?;
        }
        let pkg = fresh.join("pkg");
        fs::create_dir_all(&pkg)?;

        let wasm = self.build(&root)?;
        let bound = tempfile::tempdir()?;
        self.bind(&wasm, bound.path())?;
        let css = style(&root.join("style"), self.release)?;

        let mut published = Published { pkg: &pkg, release: self.release, first_load: 0 };
        let manifest = Manifest {
            js: published.publish("app", "js", &fs::read(bound.path().join("app.js"))?)?,
            wasm: published.publish("app", "wasm", &fs::read(bound.path().join("app_bg.wasm"))?)?,
            css: published.publish("app", "css", css.as_bytes())?,
        };
        let first_load = published.first_load;
        fs::write(fresh.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;

        if site.exists() {
            fs::remove_dir_all(&site).context("removing the previous target/site")?;
        }
        fs::rename(&fresh, &site).context("moving target/site.new to target/site")?;

        if !self.release {
            ensure!(
                !self.check_budget,
                "--check-budget needs --release: only that is compressed to the last byte"
            );
            println!("site: target/site (development build)");
            return Ok(());
        }
        println!("site: target/site, first load {} KB of {} KB", kilobytes(first_load), kilobytes(BUDGET));
        if self.check_budget && first_load > BUDGET {
            bail!(
                "the first load is {} KB of brotli, over the budget of {} KB: look for a new dependency of `app`",
                kilobytes(first_load),
                kilobytes(BUDGET)
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
            .args(["build", "--package", "app", "--lib", "--no-default-features", "--features", "hydrate"])
            .args(["--target", "wasm32-unknown-unknown", "--target-dir", "target/front"])
            .args(["--profile", profile])
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
        if self.release {
            bindgen.remove_name_section(true).remove_producers_section(true);
        } else {
            // Names are enough to read a panic; the rest would be tens of megabytes.
            bindgen.keep_debug(false);
        }
        bindgen.generate(out).with_context(|| format!("binding {}", wasm.display()))
    }
}

/// Files as they are served: named by content, each with its compressed twins beside it.
struct Published<'a> {
    pkg: &'a Path,
    release: bool,
    first_load: usize,
}

impl Published<'_> {
    /// Writes one file and answers the path it is served under.
    fn publish(&mut self, stem: &str, extension: &str, content: &[u8]) -> Result<String> {
        let hash = &blake3::hash(content).to_hex()[..16];
        let name = format!("{stem}.{hash}.{extension}");
        fs::write(self.pkg.join(&name), content)?;
        // Maximum effort takes seconds per megabyte: right for a release, felt in development.
        let (quality, level) = if self.release { (11, 9) } else { (3, 1) };
        let brotli = brotli(content, quality)?;
        self.first_load += brotli.len();
        println!("  {name:<32} {:>9} bytes, {:>8} brotli", content.len(), brotli.len());
        fs::write(self.pkg.join(format!("{name}.br")), brotli)?;
        fs::write(self.pkg.join(format!("{name}.gz")), gzip(content, level)?)?;
        Ok(format!("/pkg/{name}"))
    }
}

/// The style sheets as one, in the order of the cascade.
fn style(folder: &Path, minify: bool) -> Result<String> {
    let mut all = String::new();
    for name in STYLES {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        // Parsed one by one so that an error names its file and line.
        StyleSheet::parse(&text, ParserOptions { filename: name.into(), ..Default::default() })
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        all.push_str(&text);
        all.push('\n');
    }
    let mut sheet = StyleSheet::parse(&all, ParserOptions::default())
        .map_err(|error| anyhow::anyhow!("joining the style sheets: {error}"))?;
    sheet
        .minify(MinifyOptions::default())
        .map_err(|error| anyhow::anyhow!("minifying the style: {error}"))?;
    Ok(sheet.to_css(PrinterOptions { minify, ..Default::default() })?.code)
}

fn brotli(content: &[u8], quality: i32) -> Result<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams { quality, size_hint: content.len(), ..Default::default() };
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut &content[..], &mut out, &params)?;
    Ok(out)
}

fn gzip(content: &[u8], level: u32) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn kilobytes(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1024.0)
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
