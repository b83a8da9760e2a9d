//! A request's head as it came, read without a copy. What is unusual about one is hyper's to judge.

use std::mem::MaybeUninit;

use http::header::HeaderName;
use httparse::Header;

use crate::headers::{REQUEST_ID, SESSION};

/// Fields of one head.
pub(crate) const FIELDS: usize = 100;
/// Room for a head's fields.
pub(crate) type Room<'b> = [MaybeUninit<Header<'b>>; FIELDS];

/// Fields that concern one connection only, or are replaced.
const DROPPED: [&str; 11] = [
    "host",
    "connection",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "authorization",
    "baseten-authorization",
    "x-forwarded-for",
];

/// What was read so far.
#[derive(Debug)]
pub(crate) enum RequestHead<'b, 'r> {
    Partial,
    /// Malformed, or of a kind that is rare: another version, another framing, an upgrade.
    Unusual,
    Usual(Usual<'b, 'r>),
}

/// A head of HTTP/1.1 whose body has a known length.
#[derive(Debug)]
pub(crate) struct Usual<'b, 'r> {
    /// Bytes of the head, its empty line included.
    pub size: usize,
    pub method: &'b str,
    /// The path and the query.
    pub target: &'b str,
    pub host: &'b str,
    pub authorization: Option<&'b [u8]>,
    pub id: Option<&'b [u8]>,
    /// Bytes of the body.
    pub length: u64,
    /// The client wants no further answer on this connection.
    pub closes: bool,
    fields: &'r [Header<'b>],
}

/// Reads a head.
pub(crate) fn read<'b, 'r>(bytes: &'b [u8], room: &'r mut Room<'b>) -> RequestHead<'b, 'r> {
    let mut request = httparse::Request::new(&mut []);
    let size = match request.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return RequestHead::Partial,
        Err(_) => return RequestHead::Unusual,
    };
    let (Some(1), Some(method), Some(target)) = (request.version, request.method, request.path) else {
        return RequestHead::Unusual;
    };
    usual(size, method, target, request.headers).map_or(RequestHead::Unusual, RequestHead::Usual)
}

fn usual<'b, 'r>(
    size: usize,
    method: &'b str,
    target: &'b str,
    fields: &'r [Header<'b>],
) -> Option<Usual<'b, 'r>> {
    if !target.starts_with('/') || method == "CONNECT" {
        return None;
    }
    let mut host = None;
    let mut length = None;
    let (mut authorization, mut id, mut closes) = (None, None, false);
    for Header { name, value } in fields {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            4 if is("host") && host.replace(std::str::from_utf8(value).ok()?).is_some() => return None,
            6 if is("expect") => return None,
            6 if is("cookie") && contains(value, SESSION.as_bytes()) => return None,
            7 if is("upgrade") => return None,
            10 if is("connection") => match () {
                () if value.eq_ignore_ascii_case(b"keep-alive") => {}
                () if value.eq_ignore_ascii_case(b"close") => closes = true,
                () => return None,
            },
            13 if is("authorization") => authorization = authorization.or(Some(*value)),
            14 if is("content-length") && length.replace(number(value)?).is_some() => return None,
            17 if is("transfer-encoding") => return None,
            20 if is(REQUEST_ID.as_str()) => id = id.or(Some(*value)),
            _ => {}
        }
    }
    let length = length.unwrap_or(0);
    Some(Usual { size, method, target, host: host?, authorization, id, length, closes, fields })
}

impl Usual<'_, '_> {
    /// Writes what a replica gets of the fields; those that are ours to say are left out.
    pub fn write_fields(&self, into: &mut Vec<u8>) {
        for Header { name, value } in self.fields {
            let is = |other: &&str| name.eq_ignore_ascii_case(other);
            if !DROPPED.iter().any(&is) && !is(&REQUEST_ID.as_str()) {
                write_field(into, name, value);
            }
        }
    }

    /// What the client says of where the request came from.
    pub fn forwarded_for(&self) -> impl Iterator<Item = &[u8]> {
        let told = self.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("x-forwarded-for"));
        told.map(|field| field.value)
    }
}

/// Writes one field's line.
pub(crate) fn write_field(into: &mut Vec<u8>, name: &str, value: &[u8]) {
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b": ");
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

/// Writes one field's line.
pub(crate) fn write_known(into: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    write_field(into, name.as_str(), value);
}

/// A length as RFC 9110 has it: digits and nothing else.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    if !(1..=18).contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn contains(value: &[u8], word: &[u8]) -> bool {
    value.windows(word.len()).any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look<R>(head: &str, then: impl FnOnce(RequestHead<'_, '_>) -> R) -> R {
        then(read(head.as_bytes(), &mut [MaybeUninit::uninit(); FIELDS]))
    }

    fn is_usual(head: &str) -> bool {
        look(head, |head| matches!(head, RequestHead::Usual(_)))
    }

    #[test]
    fn a_replica_gets_what_concerns_it() {
        let head = "POST /a?b=c HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer secret\r\nX-Kept: 1\r\n\
                    x-baseten-request-id: mine\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: close\r\ncontent-length: 12\r\n\r\n";
        look(head, |found| {
            let RequestHead::Usual(found) = found else { panic!("{found:?}") };
            assert_eq!((found.size, found.length, found.closes), (head.len(), 12, true));
            assert_eq!((found.method, found.target, found.host), ("POST", "/a?b=c", "h"));
            assert_eq!(found.authorization, Some(&b"Bearer secret"[..]));
            assert_eq!(found.id, Some(&b"mine"[..]));
            let mut written = Vec::new();
            found.write_fields(&mut written);
            assert_eq!(String::from_utf8(written).unwrap(), "X-Kept: 1\r\ncontent-length: 12\r\n");
        });
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_usual() {
        assert!(is_usual("GET / HTTP/1.1\r\nhost: h\r\n\r\n"));
        for head in [
            "GET / HTTP/1.0\r\nhost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nhost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: h\r\nhost: h\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding : chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: h\r\nconnection: x-private\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: h\r\ncookie: a=1; slipway_session=x\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: h\r\n folded: x\r\n\r\n",
        ] {
            assert!(!is_usual(head), "{head}");
        }
        look("GET / HTTP/1.1\r\nhost: h\r\n", |head| assert!(matches!(head, RequestHead::Partial)));
    }
}
