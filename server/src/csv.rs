//! Tables for other programs: RFC 4180, and nothing that a spreadsheet takes for a formula.

/// One line, with its end.
pub fn line<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let fields: Vec<String> = fields.into_iter().map(field).collect();
    fields.join(",") + "\r\n"
}

/// A field: quoted where it must be, and led by an apostrophe where a spreadsheet would compute it, since names are
/// chosen by whoever pushes.
fn field(text: &str) -> String {
    let computed = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if computed { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(
            line(["a", "b,c", "say \"hi\"", "two\nlines", ""]),
            "a,\"b,c\",\"say \"\"hi\"\"\",\"two\nlines\",\r\n"
        );
    }

    #[test]
    fn no_field_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=cmd|'/c calc'!A0"] {
            let field = field(text);
            assert!(field.trim_start_matches('"').starts_with('\''), "{field}");
        }
        assert_eq!(field("deployment-1"), "deployment-1");
        assert_eq!(field("=a,b"), "\"'=a,b\"");
    }
}
