//! The WASM taken apart: the program, and the pages that load when they are opened.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};

/// The program without the pages, which still has to be bound.
pub const MAIN: &str = "main.wasm";
/// The script that loads the pages' files.
pub const LINK: &str = "chunks.js";

/// Writes the parts into a folder. Answers the files that each page needs beside the program.
pub fn split(wasm: &[u8], folder: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let main = folder.join(MAIN);
    let link = format!("./{LINK}");
    let mut options = wasm_split_cli_support::Options::new(wasm);
    options.output_dir = folder;
    options.main_out_path = &main;
    options.link_name = &link;
    options.main_module = "./app.js";
    let parts = wasm_split_cli_support::transform(options)
        .map_err(|error| anyhow!("taking the pages out of the WASM: {error:#}"))?;
    for part in &parts.split_modules {
        fs::write(part, without_custom_sections(&fs::read(part)?)?)?;
    }
    let file = |stem: &String| format!("{stem}.wasm");
    Ok(parts
        .prefetch_map
        .iter()
        .map(|(page, stems)| (page.clone(), stems.iter().map(file).collect()))
        .collect())
}

/// Names of functions and the like are a third of a file and of no use to a browser.
fn without_custom_sections(wasm: &[u8]) -> Result<Vec<u8>> {
    const HEADER: usize = 8;
    const CUSTOM: u8 = 0;
    let torn = || anyhow!("a part of the WASM ends in the middle of a section");
    let mut kept = wasm.get(..HEADER).ok_or_else(torn)?.to_vec();
    let mut at = HEADER;
    while at < wasm.len() {
        let (length, size) = leb128(&wasm[at + 1..]).ok_or_else(torn)?;
        let end = at + 1 + size + length;
        let section = wasm.get(at..end).ok_or_else(torn)?;
        if section[0] != CUSTOM {
            kept.extend_from_slice(section);
        }
        at = end;
    }
    Ok(kept)
}

/// A number as WASM writes it, and how many bytes it takes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_custom_sections_are_left_out() {
        let header = b"\0asm\x01\0\0\0";
        let custom = [0, 3, 1, b'x', 9];
        let types = [1, 0x81, 0x00, 0];
        let wasm: Vec<u8> = [&header[..], &custom, &types].concat();
        assert_eq!(without_custom_sections(&wasm).unwrap(), [&header[..], &types].concat());
        assert!(without_custom_sections(&wasm[..wasm.len() - 1]).is_err());
    }
}
