//! Files as they are served: named by content, each with its compressed twins beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub struct Publisher {
    pkg: PathBuf,
    release: bool,
    /// Bytes of brotli, by the path a file is served under.
    sizes: BTreeMap<String, usize>,
}

impl Publisher {
    pub fn new(pkg: &Path, release: bool) -> Self {
        Self { pkg: pkg.to_owned(), release, sizes: BTreeMap::new() }
    }

    /// Writes one file under its hash, and answers the path it is served under.
    pub fn by_hash(&mut self, stem: &str, extension: &str, content: &[u8]) -> Result<String> {
        let hash = blake3::hash(content).to_hex();
        self.write(&format!("{stem}.{}.{extension}", &hash[..16]), content)
    }

    /// Writes files that name each other into a folder that carries the hash of all of them, and answers that folder's
    /// path.
    pub fn folder(&mut self, made: &Path) -> Result<String> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(made)? {
            let entry = entry?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
        }
        let mut hasher = blake3::Hasher::new();
        for (name, content) in &files {
            hasher.update(name.as_bytes()).update(&content.len().to_le_bytes()).update(content);
        }
        let hash = hasher.finalize().to_hex();
        let folder = &hash[..16];
        fs::create_dir(self.pkg.join(folder)).context("creating the program's folder")?;
        for (name, content) in &files {
            self.write(&format!("{folder}/{name}"), content)?;
        }
        Ok(format!("/pkg/{folder}"))
    }

    /// Bytes of brotli of some files together.
    pub fn brotli(&self, paths: &[&str]) -> usize {
        paths.iter().filter_map(|path| self.sizes.get(*path)).sum()
    }

    fn write(&mut self, name: &str, content: &[u8]) -> Result<String> {
        fs::write(self.pkg.join(name), content)?;
        // Maximum effort takes seconds per megabyte: right for a release, felt in development.
        let (quality, level) = if self.release { (11, 9) } else { (3, 1) };
        let brotli = brotli(content, quality)?;
        println!("  {name:<44} {:>9} bytes, {:>8} brotli", content.len(), brotli.len());
        let path = format!("/pkg/{name}");
        self.sizes.insert(path.clone(), brotli.len());
        fs::write(self.pkg.join(format!("{name}.br")), brotli)?;
        fs::write(self.pkg.join(format!("{name}.gz")), gzip(content, level)?)?;
        Ok(path)
    }
}

fn brotli(content: &[u8], quality: i32) -> Result<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        quality,
        lgwin: 24,
        size_hint: content.len(),
        ..Default::default()
    };
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut &content[..], &mut out, &params)?;
    Ok(out)
}

fn gzip(content: &[u8], level: u32) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}
