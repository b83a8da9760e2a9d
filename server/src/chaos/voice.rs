//! What is said to whoever watches, who may have gone: then nobody hears it, and everything goes on.

use std::io::Write;

/// Says what happens, on standard error.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says what came of it, on standard output.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
