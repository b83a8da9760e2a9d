//! One line of a pip requirements file.

/// The line without its comment. A `#` inside a URL is no comment: one needs space before it.
pub(super) fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') {
        return "";
    }
    let comment = line.char_indices().find(|(at, c)| *c == '#' && line[..*at].ends_with(char::is_whitespace));
    comment.map_or(line, |(at, _)| line[..at].trim_end())
}

/// The normalised name (lower case, `-` for runs of `-_.`) of the package a line asks for; `None` for options, URLs,
/// paths and what is no requirement.
pub fn package_name(line: &str) -> Option<String> {
    let line = without_comment(line);
    let (name, rest) = split_name(line)?;
    parses_after_name(rest).then(|| normalised(name))
}

/// Whether an installer could read the line: a comment, an option, a URL, a path or a package with versions.
pub fn is_parsable(line: &str) -> bool {
    let line = without_comment(line);
    line.is_empty() || line.starts_with('-') || is_url(line) || is_path(line) || package_name(line).is_some()
}

/// Whether the line points at files beside it.
pub(super) fn is_local(line: &str) -> bool {
    let line = without_comment(line);
    let options = ["-r", "-c", "-e", "--requirement", "--constraint", "--editable"];
    options.iter().any(|option| line.starts_with(option)) || is_path(line) || line.contains("file:")
}

fn is_url(line: &str) -> bool {
    let schemes = ["http://", "https://", "file:", "git+", "hg+", "svn+", "bzr+"];
    schemes.iter().any(|scheme| line.starts_with(scheme))
        && line.len() > 8
        && !line.contains(char::is_whitespace)
        || schemes.iter().any(|scheme| line.starts_with(scheme)) && line.contains(" ;")
}

fn is_path(line: &str) -> bool {
    line.starts_with('.') || line.starts_with('/')
}

fn normalised(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

/// A name starts and ends with a letter or digit, with `-`, `_` and `.` between.
fn split_name(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let good = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (good(name.chars().next()) && good(name.chars().last())).then_some((name, rest.trim_start()))
}

/// `[extras] (versions) ; marker` or `[extras] @ url ; marker`, every part optional.
fn parses_after_name(rest: &str) -> bool {
    let rest = match rest.strip_prefix('[') {
        Some(extras) => match extras.split_once(']') {
            Some((extras, rest)) if extras.split(',').all(|e| e.trim().is_empty() || is_word(e.trim())) => {
                rest.trim_start()
            }
            _ => return false,
        },
        None => rest,
    };
    if let Some(url) = rest.strip_prefix('@') {
        return url
            .split_whitespace()
            .next()
            .is_some_and(|url| url.contains(':') || url.starts_with(['.', '/']));
    }
    // Options of one requirement, such as hashes, follow it.
    let rest = rest.split(" --").next().unwrap_or_default();
    let (versions, marker) = match rest.split_once(';') {
        Some((versions, marker)) => (versions.trim(), Some(marker.trim())),
        None => (rest.trim(), None),
    };
    let versions = versions.strip_prefix('(').and_then(|v| v.strip_suffix(')')).unwrap_or(versions).trim();
    marker.is_none_or(|marker| !marker.is_empty())
        && (versions.is_empty()
            || versions.trim_end_matches(',').split(',').all(|clause| is_clause(clause.trim())))
}

fn is_clause(clause: &str) -> bool {
    let operators = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"];
    let version = operators.iter().find_map(|operator| clause.strip_prefix(operator)).map(str::trim);
    version.is_some_and(|version| {
        let first = version.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        first && version.chars().all(|c| c.is_ascii_alphanumeric() || ".*+!-_".contains(c))
    })
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
