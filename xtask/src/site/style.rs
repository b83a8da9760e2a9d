//! The style sheets as one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use lightningcss::stylesheet::{MinifyOptions, ParserOptions, PrinterOptions, StyleSheet};

/// The style sheets of a folder, in the order in which its `all.css` imports them.
pub fn joined(folder: &Path, minify: bool) -> Result<String> {
    let mut all = String::new();
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    let order = read(&folder.join("all.css"))?;
    for name in order.lines().filter_map(imported) {
        let path = folder.join(name);
        let text = read(&path)?;
        // Parsed one by one so that an error names its file and line.
        StyleSheet::parse(&text, ParserOptions { filename: name.to_owned(), ..Default::default() })
            .map_err(|error| anyhow!("{}: {error}", path.display()))?;
        all.push_str(&text);
        all.push('\n');
    }
    ensure!(!all.is_empty(), "style/all.css imports nothing");
    let mut sheet = StyleSheet::parse(&all, ParserOptions::default())
        .map_err(|error| anyhow!("joining the style sheets: {error}"))?;
    sheet.minify(MinifyOptions::default()).map_err(|error| anyhow!("minifying the style: {error}"))?;
    Ok(sheet.to_css(PrinterOptions { minify, ..Default::default() })?.code)
}

/// The file that a line imports.
fn imported(line: &str) -> Option<&str> {
    line.strip_prefix("@import \"")?.strip_suffix("\";")
}
