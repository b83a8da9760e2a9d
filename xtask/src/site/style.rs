//! The style sheets as one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use lightningcss::stylesheet::{MinifyOptions, ParserOptions, PrinterOptions, StyleSheet};

/// The order of the cascade; the style is one file in the end.
const STYLES: [&str; 6] =
    ["tokens.css", "base.css", "layout.css", "components.css", "pages.css", "print.css"];

/// The style sheets of a folder, in the order of the cascade.
pub fn joined(folder: &Path, minify: bool) -> Result<String> {
    let mut all = String::new();
    for name in STYLES {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        // Parsed one by one so that an error names its file and line.
        StyleSheet::parse(&text, ParserOptions { filename: name.into(), ..Default::default() })
            .map_err(|error| anyhow!("{}: {error}", path.display()))?;
        all.push_str(&text);
        all.push('\n');
    }
    let mut sheet = StyleSheet::parse(&all, ParserOptions::default())
        .map_err(|error| anyhow!("joining the style sheets: {error}"))?;
    sheet.minify(MinifyOptions::default()).map_err(|error| anyhow!("minifying the style: {error}"))?;
    Ok(sheet.to_css(PrinterOptions { minify, ..Default::default() })?.code)
}
