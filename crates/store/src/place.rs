//! Where a page of a list ends.

use std::fmt;
use std::str::FromStr;

use domain::{Invalid, Timestamp, parse_id};

/// A row's place in a list by moment and id: a key, so that a page does not move when a row is added or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(crate) at: Timestamp,
    pub(crate) id: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.millis(), self.id)
    }
}

impl FromStr for Place {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("cursor", "this is no cursor of this list; leave it out to begin anew");
        let (at, id) = text.split_once('.').ok_or_else(wrong)?;
        let at = at.parse().map(Timestamp::from_millis).map_err(|_| wrong())?;
        let id = parse_id("cursor", id).map_err(|_| wrong())?;
        Ok(Self { at, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { at: Timestamp::from_millis(1_700_000_000_123), id: "abc".into() };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "1", ".abc", "1.", "x.abc", "1.a b", "99999999999999999999.abc"] {
            let refused = wrong.parse::<Place>().unwrap_err();
            assert!(refused.to_string().contains("cursor"), "{wrong}");
        }
    }
}
