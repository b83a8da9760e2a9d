//! What a person reads when the server is ready: the last lines of its start.

/// What the banner says.
#[derive(Debug, Clone)]
pub struct Banner<'a> {
    pub public_url: &'a str,
    pub data_dir: &'a str,
    /// None if none could be made.
    pub sign_in_link: Option<&'a str>,
    /// Only at the first start, when the key was made.
    pub admin_key: Option<&'a str>,
    /// Whether `api.localhost` leads here.
    pub api_localhost: bool,
    /// The command that fixes it where it does not.
    pub fix: &'a str,
    /// Whether the terminal shows colours.
    pub colour: bool,
}

impl Banner<'_> {
    /// The lines, without an empty one at the end.
    pub fn text(&self) -> String {
        let bold =
            |text: &str| if self.colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() };
        let red =
            |text: &str| if self.colour { format!("\u{1b}[1;31m{text}\u{1b}[0m") } else { text.to_owned() };
        let mut lines = vec![String::new(), format!("{} {}", bold("Slipway is ready:"), self.public_url)];
        match self.sign_in_link {
            Some(link) => {
                lines.push(format!("  sign in    {link}"));
                lines.push("             (works once, within 15 minutes; the first makes the first admin; another one: slipway login)".to_owned());
            }
            None => lines.push("  sign in    with a link from: slipway login".to_owned()),
        }
        lines.push(format!("  data       {}", self.data_dir));
        if let Some(key) = self.admin_key {
            lines.push(String::new());
            lines.push(format!("{}   {key}", bold("Admin API key (shown once):")));
            lines.push(String::new());
            lines.push("Put this into ~/.trussrc (or run: slipway trussrc --write):".to_owned());
            lines.push(String::new());
            for line in crate::trussrc::section("slipway", self.public_url, key).lines() {
                lines.push(format!("    {line}"));
            }
        }
        if !self.api_localhost {
            lines.push(String::new());
            lines.push(red("api.localhost does not resolve on this machine: `truss push --wait`, `truss watch` and logs would hang. Fix it first:"));
            lines.push(String::new());
            lines.push(red(&format!("    {}", self.fix)));
        }
        lines.push(String::new());
        lines.push("Push a model:   truss push FOLDER --remote slipway".to_owned());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner() -> Banner<'static> {
        Banner {
            public_url: "http://localhost:8000",
            data_dir: "/data",
            sign_in_link: Some("http://localhost:8000/sign-in?token=t"),
            admin_key: Some("k-123"),
            api_localhost: false,
            fix: "the fix",
            colour: false,
        }
    }

    #[test]
    fn the_fix_stands_before_the_push_that_needs_it() {
        let text = banner().text();
        let fix = text.find("the fix").unwrap();
        assert!(fix < text.find("truss push FOLDER").unwrap());
        assert!(text.contains("    api_key = k-123"));
    }

    #[test]
    fn without_a_link_it_says_how_to_get_one() {
        assert!(banner().text().contains("sign in    http://localhost:8000/sign-in?token=t"));
        let text = Banner { sign_in_link: None, ..banner() }.text();
        assert!(text.contains("slipway login") && !text.contains("token"), "{text}");
    }

    #[test]
    fn a_later_start_shows_no_key() {
        let text = Banner { admin_key: None, api_localhost: true, ..banner() }.text();
        assert!(!text.contains("key") && !text.contains("fix"), "{text}");
    }
}
