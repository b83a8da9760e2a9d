//! A replica's head as it came, and how its client gets it.

use std::mem::MaybeUninit;

use http::HeaderValue;
use httparse::Header;
use smallvec::SmallVec;

use crate::address::Form;
use crate::headers::{COLD_START, FENCED, FENCES, REQUEST_ID, SERVED_BY};
use crate::request_head::{FIELDS, number, write_field, write_known};

/// How a body tells its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length, which may be 0.
    Length(u64),
    Chunked,
    /// By the end of the connection.
    UntilClosed,
}

/// What was read so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AnswerHead {
    Partial,
    /// One that only announces the answer, of so many bytes.
    Interim(usize),
    /// Not an answer that has one reading.
    Broken,
    Final(Answered),
}

/// An answer's head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Bytes of the head.
    pub size: usize,
    pub status: u16,
    pub framing: Framing,
    /// Whether the replica takes another request on this connection.
    pub stays: bool,
}

/// What the gateway tells a client beside the replica's own fields.
pub(crate) struct Told<'a> {
    pub form: Form,
    pub id: &'a HeaderValue,
    pub served_by: &'a HeaderValue,
    /// Milliseconds that the request waited for a replica, if it did.
    pub waited: Option<u128>,
    /// The connection ends with this answer.
    pub closes: bool,
    /// The moment, for answers that don't tell it.
    pub date: &'a str,
}

/// Reads a head and writes what the client gets of it, its empty line included.
pub(crate) fn pass(bytes: &[u8], to_head_request: bool, told: &Told<'_>, into: &mut Vec<u8>) -> AnswerHead {
    let mut room = [MaybeUninit::uninit(); FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, &mut room);
    let size = match parsed {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return AnswerHead::Partial,
        Err(_) => return AnswerHead::Broken,
    };
    let (Some(version), Some(status)) = (answer.version, answer.code) else { return AnswerHead::Broken };
    match status {
        101 => return AnswerHead::Broken,
        100..200 => return AnswerHead::Interim(size),
        200..1000 => {}
        _ => return AnswerHead::Broken,
    }
    let Some(framed) = Framed::of(answer.headers, version) else { return AnswerHead::Broken };
    let has_no_body = to_head_request || matches!(status, 204 | 304);
    let framing = match (has_no_body, framed.chunked, framed.length) {
        (true, ..) => Framing::Length(0),
        (false, true, _) => Framing::Chunked,
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::UntilClosed,
    };
    write(into, status, answer.reason.unwrap_or_default(), answer.headers, &framed, has_no_body, told);
    let stays = framed.stays && framing != Framing::UntilClosed;
    AnswerHead::Final(Answered { size, status, framing, stays })
}

/// What the fields say of the body and of the connection.
struct Framed<'b> {
    chunked: bool,
    length: Option<u64>,
    stays: bool,
    /// Fields that are this connection's own, beside the known ones.
    named: SmallVec<[&'b [u8]; 2]>,
}

impl<'b> Framed<'b> {
    /// `None` if the fields contradict each other.
    fn of(fields: &[Header<'b>], version: u8) -> Option<Self> {
        let mut found = Self { chunked: false, length: None, stays: version == 1, named: SmallVec::new() };
        let mut closes = false;
        for Header { name, value } in fields {
            match name.len() {
                10 if name.eq_ignore_ascii_case("connection") => {
                    for word in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        match () {
                            () if word.eq_ignore_ascii_case(b"close") => closes = true,
                            () if word.eq_ignore_ascii_case(b"keep-alive") => found.stays = true,
                            () => found.named.push(word),
                        }
                    }
                }
                14 if name.eq_ignore_ascii_case("content-length")
                    && found.length.replace(number(value)?).is_some() =>
                {
                    return None;
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if found.chunked || version == 0 || !value.eq_ignore_ascii_case(b"chunked") {
                        return None;
                    }
                    found.chunked = true;
                }
                _ => {}
            }
        }
        found.stays &= !closes;
        if found.chunked && found.length.is_some() { None } else { Some(found) }
    }

    /// Whether a field is the connection's own. What says where the body ends never is.
    fn names(&self, field: &str) -> bool {
        let is = |word: &&[u8]| word.eq_ignore_ascii_case(field.as_bytes());
        !field.eq_ignore_ascii_case("content-length") && self.named.iter().any(is)
    }
}

/// Fields of one connection only; the body's framing is said anew.
const DROPPED: [&str; 8] = [
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "transfer-encoding",
    "proxy-connection",
    "proxy-authenticate",
];

fn write(
    into: &mut Vec<u8>,
    status: u16,
    reason: &str,
    fields: &[Header<'_>],
    framed: &Framed<'_>,
    has_no_body: bool,
    told: &Told<'_>,
) {
    write_status(into, status, reason);
    let mut has_date = false;
    for Header { name, value } in fields {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let is_ours = is(SERVED_BY.as_str()) || is(REQUEST_ID.as_str()) || is(COLD_START.as_str());
        let is_fenced = told.form == Form::Path && FENCED.iter().any(|fenced| is(fenced));
        // An answer without content has no length either.
        let is_stray = status == 204 && is("content-length");
        if is_ours || is_fenced || is_stray || DROPPED.iter().any(|other| is(other)) || framed.names(name) {
            continue;
        }
        has_date |= is("date");
        write_field(into, name, value);
    }
    if !has_date {
        write_field(into, "date", told.date.as_bytes());
    }
    if !has_no_body && framed.length.is_none() {
        // One without an end of its own gets one by chunks.
        write_field(into, "transfer-encoding", b"chunked");
    }
    if told.form == Form::Path {
        for (name, value) in &FENCES {
            write_field(into, name, value.as_bytes());
        }
    }
    write_known(into, &SERVED_BY, told.served_by.as_bytes());
    if let Some(waited) = told.waited {
        write_known(into, &COLD_START, waited.to_string().as_bytes());
    }
    write_known(into, &REQUEST_ID, told.id.as_bytes());
    write_end(into, told.closes);
}

/// The first line of an answer.
pub(crate) fn write_status(into: &mut Vec<u8>, status: u16, reason: &str) {
    into.extend_from_slice(b"HTTP/1.1 ");
    into.extend([status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8));
    into.push(b' ');
    into.extend_from_slice(reason.as_bytes());
    into.extend_from_slice(b"\r\n");
}

/// The last lines of a head.
pub(crate) fn write_end(into: &mut Vec<u8>, closes: bool) {
    into.extend_from_slice(if closes { b"connection: close\r\n\r\n" } else { b"\r\n" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str, form: Form) -> (AnswerHead, String) {
        let (id, served_by) = (HeaderValue::from_static("id"), HeaderValue::from_static("d/r"));
        let told = Told { form, id: &id, served_by: &served_by, waited: None, closes: false, date: "now" };
        let mut written = Vec::new();
        let found = pass(head.as_bytes(), false, &told, &mut written);
        (found, String::from_utf8(written).unwrap())
    }

    #[test]
    fn a_client_gets_what_the_replica_said_and_who_it_was() {
        let head = "HTTP/1.1 404 Nothing here\r\nContent-Length: 3\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n\
                    Connection: x-private, keep-alive\r\nX-Private: 1\r\nX-Served-By: another\r\nDate: then\r\n\r\n";
        let (found, written) = answer(head, Form::Host);
        let known = Answered { size: head.len(), status: 404, framing: Framing::Length(3), stays: true };
        assert_eq!(found, AnswerHead::Final(known));
        assert_eq!(
            written,
            "HTTP/1.1 404 Nothing here\r\nContent-Length: 3\r\nX-Own: 1\r\nDate: then\r\n\
             x-served-by: d/r\r\nx-baseten-request-id: id\r\n\r\n"
        );
    }

    #[test]
    fn no_field_takes_the_length_away() {
        let head = "HTTP/1.1 200 OK\r\nconnection: content-length, x-a\r\nconnection: x-b\r\n\
                    content-length: 3\r\nx-a: 1\r\nx-b: 1\r\n\r\n";
        let (_, written) = answer(head, Form::Host);
        assert!(written.contains("content-length: 3\r\n"), "{written}");
        assert!(!written.contains("x-a: ") && !written.contains("x-b: "), "{written}");
    }

    #[test]
    fn only_the_path_form_is_fenced_in() {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nset-cookie: a=1\r\nservice-worker-allowed: /\r\n\r\n";
        let (_, path) = answer(head, Form::Path);
        let (_, host) = answer(head, Form::Host);
        assert!(!path.contains("set-cookie") && !path.contains("service-worker-allowed"), "{path}");
        assert!(path.contains("content-security-policy: sandbox\r\n"), "{path}");
        assert!(host.contains("set-cookie: a=1") && !host.contains("sandbox"), "{host}");
    }

    #[test]
    fn a_body_ends_in_one_way() {
        let framing = |head: &str| match answer(head, Form::Host).0 {
            AnswerHead::Final(found) => Some((found.framing, found.stays)),
            other => {
                assert_eq!(other, AnswerHead::Broken, "{head}");
                None
            }
        };
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n"), Some((Framing::UntilClosed, false)));
        assert_eq!(
            framing("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n"),
            Some((Framing::Length(1), false))
        );
        let stays = "HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\n";
        assert_eq!(framing(stays), Some((Framing::Length(1), true)));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
        assert_eq!(framing(chunked), Some((Framing::Chunked, false)));
        assert_eq!(framing("HTTP/1.1 204 No\r\n\r\n"), Some((Framing::Length(0), true)));
        let both = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close, keep-alive\r\n\r\n";
        assert_eq!(framing(both), Some((Framing::Length(1), false)));
        for broken in [
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 101 Switching\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
        ] {
            assert_eq!(framing(broken), None, "{broken}");
        }
        assert_eq!(answer("HTTP/1.1 100 Continue\r\n\r\n", Form::Host).0, AnswerHead::Interim(25));
        assert_eq!(answer("HTTP/1.1 200 OK\r\n", Form::Host).0, AnswerHead::Partial);
    }
}
