//! `docs/server-functions.md`: the dashboard's own API, written down from its declarations.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::shell::root;

const PAGE: &str = "docs/server-functions.md";
const HEAD: &str = "\
# Server functions

The dashboard's own API: one function for each read and each action, under `/api/ui/`. Its paths are stable, so scripts
may use them with an API key. For programs that manage models, `/v1` is the better door: it has the shapes that the
`baseten` SDK knows.

Reads are GET with a query, actions are POST with a form. A success answers 200 and JSON; a failure answers its status
with `{\"error\": …, \"message\": …}`, where the error is `unauthorized` (401, without a message), `forbidden` (403),
`not_found` (404), `invalid` with the name of the `field` (400), `conflict` (409), `unavailable` (503) or `internal`
(500). Fields marked with `?` may be left out.

This page is written by `cargo xtask functions` from `app/src/server_fns`; `cargo xtask check` compares.
";

#[derive(clap::Args)]
pub struct Functions {}

impl Functions {
    /// Writes the page.
    pub fn run(&self) -> Result<()> {
        fs::write(root().join(PAGE), page()?).with_context(|| format!("writing {PAGE}"))
    }
}

/// Fails if the page is not what the declarations say.
pub fn check() -> Result<()> {
    let written = fs::read_to_string(root().join(PAGE)).unwrap_or_default();
    ensure!(written == page()?, "{PAGE} is not what app/src/server_fns says; run `cargo xtask functions`");
    Ok(())
}

struct Function {
    endpoint: String,
    is_read: bool,
    says: String,
    /// Name, type, and whether it may be left out.
    fields: Vec<(String, String, bool)>,
    answer: String,
}

fn page() -> Result<String> {
    let folder = root().join("app/src/server_fns");
    let mut functions = Vec::new();
    for entry in fs::read_dir(&folder).context("reading app/src/server_fns")? {
        functions.extend(declared(&fs::read_to_string(entry?.path())?));
    }
    functions.sort_by(|a, b| b.is_read.cmp(&a.is_read).then_with(|| a.endpoint.cmp(&b.endpoint)));
    let mut page = HEAD.to_owned();
    for function in &functions {
        describe(&mut page, function)?;
    }
    Ok(page)
}

fn describe(page: &mut String, function: &Function) -> Result<()> {
    let method = if function.is_read { "GET" } else { "POST" };
    writeln!(page, "\n## {method} /api/ui/{}\n\n{}\n", function.endpoint, function.says)?;
    for (name, kind, optional) in &function.fields {
        writeln!(page, "- `{name}{}`: {}", if *optional { "?" } else { "" }, word(kind))?;
    }
    if !function.fields.is_empty() {
        page.push('\n');
    }
    writeln!(page, "Answers `{}` (`app/src/view`).\n\n```sh", function.answer)?;
    let get = if function.is_read { " --get" } else { "" };
    write!(
        page,
        "curl{get} -H \"Authorization: Bearer $SLIPWAY_KEY\" http://localhost:8000/api/ui/{}",
        function.endpoint
    )?;
    for (name, _, _) in function.fields.iter().filter(|(_, _, optional)| !optional) {
        write!(page, " \\\n  --data-urlencode {name}=…")?;
    }
    if !function.is_read && function.fields.iter().all(|(_, _, optional)| *optional) {
        page.push_str(" -X POST");
    }
    page.push_str("\n```\n");
    Ok(())
}

fn word(kind: &str) -> &str {
    match kind {
        "String" => "text",
        "bool" | "Checkbox" => "`true` or `false`",
        "i64" | "u32" | "Digits" => "a whole number",
        "Vec<String>" => "texts, each as one `NAME[]`",
        other => other,
    }
}

/// The functions that a file declares.
fn declared(source: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut says: Vec<&str> = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("///") {
            says.push(text.trim());
            continue;
        }
        if line.starts_with("#[server(")
            && let Some(endpoint) = line.split("endpoint = \"").nth(1).and_then(|rest| rest.split('"').next())
        {
            let mut signature = String::new();
            for line in lines.by_ref() {
                signature.push_str(line.trim());
                signature.push(' ');
                if line.ends_with('{') {
                    break;
                }
            }
            let (fields, answer) = signature.split_once(") -> Result<").unwrap_or((&signature, ""));
            let fields = fields.split_once('(').map_or("", |(_, fields)| fields);
            found.push(Function {
                endpoint: endpoint.to_owned(),
                is_read: line.contains("GetUrl"),
                says: says.join("\n"),
                fields: fields.split(", ").filter_map(field).collect(),
                answer: answer.split(',').next().unwrap_or_default().to_owned(),
            });
        }
        says.clear();
    }
    found
}

/// `#[server(default)] name: Type`, or without the mark.
fn field(text: &str) -> Option<(String, String, bool)> {
    let text = text.trim().trim_end_matches(',');
    let bare = text.strip_prefix("#[server(default)] ");
    let (name, kind) = bare.unwrap_or(text).split_once(": ")?;
    let inner = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>'));
    Some((name.to_owned(), inner.unwrap_or(kind).to_owned(), bare.is_some() || inner.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_is_read_whole() {
        let source = "/// Gives it\n/// a name.\n#[server(prefix = \"/api/ui\", endpoint = \"name\")]\n\
            pub async fn name(\n    id: String,\n    #[server(default)] sure: bool,\n    times: Option<i64>,\n\
            ) -> Result<Done, AppError> {\n";
        let [function] = declared(source).try_into().ok().unwrap();
        assert_eq!((function.endpoint.as_str(), function.is_read), ("name", false));
        assert_eq!(function.says, "Gives it\na name.");
        assert_eq!(function.answer, "Done");
        let fields: Vec<_> =
            function.fields.iter().map(|(name, kind, optional)| (&**name, &**kind, *optional)).collect();
        assert_eq!(fields, [("id", "String", false), ("sure", "bool", true), ("times", "i64", true)]);
    }
}
