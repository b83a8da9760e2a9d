//! What forms and queries send as text, read by the name of its field: of another type, what can't be read would be
//! refused without its name.

#[cfg(feature = "ssr")]
use {crate::error::AppError, domain::WholeNumber};

/// A whole number as it was sent.
pub(super) type Digits = String;

/// A box that is checked, as it was sent: `true`, or `on` without a value. One that is not is sent as nothing.
pub(super) type Checkbox = String;

/// The setting of this name, if it was sent. Whether it may be this number is the domain's to say.
///
/// # Errors
/// It is no whole number; the message has its range.
#[cfg(feature = "ssr")]
pub(super) fn number(name: &str, sent: Option<Digits>) -> Result<Option<i64>, AppError> {
    let refused = || {
        let wanted = WholeNumber::setting(name).map(|number| number.to_string());
        let wanted = wanted.unwrap_or_else(|| "a whole number".into());
        AppError::invalid(name, format!("has to be {wanted}, written in digits"))
    };
    // A field that was left empty was not sent.
    let sent = sent.filter(|text| !text.is_empty());
    sent.map(|text| text.parse::<i64>().map_err(|_| refused())).transpose()
}

/// Whether the box of this name was checked.
///
/// # Errors
/// It is neither `true` nor `false`.
#[cfg(feature = "ssr")]
pub(super) fn checked(name: &str, sent: Option<Checkbox>) -> Result<bool, AppError> {
    match sent.as_deref() {
        None | Some("" | "false") => Ok(false),
        Some("true" | "on") => Ok(true),
        Some(_) => Err(AppError::invalid(name, "has to be `true` or `false`; left out, it is `false`")),
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_was_not_checked_is_sent_as_nothing() {
        let read = |sent: Option<&str>| checked("restricted", sent.map(str::to_owned));
        assert_eq!([None, Some(""), Some("false")].map(read), [Ok(false), Ok(false), Ok(false)]);
        assert_eq!([Some("true"), Some("on")].map(read), [Ok(true), Ok(true)]);
        let refused = read(Some("maybe")).unwrap_err().to_string();
        assert!(refused.starts_with("restricted: has to be `true` or `false`"), "{refused}");
    }
}
