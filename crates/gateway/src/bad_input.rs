//! Heads, chunks and addresses that nobody would send on purpose.

use proptest::prelude::*;
use std::mem::MaybeUninit;

use http::HeaderValue;

use crate::address::{Action, Form, parse};
use crate::answer_head::{self, AnswerHead, Framing, Told};
use crate::chunks::Chunks;
use crate::request_head::{self, FIELDS, RequestHead};

#[global_allocator]
static ALLOCATOR: mangle::Counting = mangle::Counting;

const HOSTS: [&str; 5] = [
    "localhost:8000",
    "model-abc.api.example.test:80",
    "model-abc-eu-1.api.localhost",
    "[::1]:8000",
    "api.localhost",
];
const PATHS: [&str; 7] = [
    "/model/abc/production/predict",
    "/model/abc/environments/eu-1/predict",
    "/model/abc/development/wake",
    "/model/abc/deployment/d1/websocket",
    "/model/abc/production/sync/v1/a%2Fb/",
    "/production/predict",
    "/v1/models/abc",
];

const HEADS: [&str; 3] = [
    "POST /model/abc/production/predict HTTP/1.1\r\nhost: h\r\nauthorization: Bearer k\r\ncontent-length: 12\r\n\r\n",
    "GET /a?b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nX-Own: 1\r\n\r\n",
    "HEAD / HTTP/1.1\r\nhost: h\r\ncookie: slipway_session=x\r\nexpect: 100-continue\r\nupgrade: websocket\r\n\r\n",
];

const ANSWERS: [&str; 2] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: x-a, close\r\nx-a: 1\r\nset-cookie: a=1\r\n\r\n",
    "HTTP/1.0 500 No\r\ntransfer-encoding: chunked\r\nDate: x\r\n\r\n",
];
const CHUNKS: &[u8] = b"5\r\nhello\r\n1A;name=value\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx-after: 1\r\n\r\n";

/// How a replica that reads by the book sees what it gets.
fn reread(fields: &[u8]) -> Result<Vec<(String, Vec<u8>)>, TestCaseError> {
    let mut room = [httparse::EMPTY_HEADER; 100];
    let bytes = [b"GET / HTTP/1.1\r\n", fields, b"\r\n"].concat();
    let mut request = httparse::Request::new(&mut room);
    let status = request.parse(&bytes).map_err(|error| TestCaseError::fail(format!("{error}")))?;
    prop_assert_eq!(status, httparse::Status::Complete(bytes.len()));
    let fields = request.headers.iter();
    Ok(fields.map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect())
}

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_host_and_path_are_an_address_or_the_applications(
        host in mangle::mangled_text(&HOSTS),
        path in mangle::mangled_text(&PATHS),
    ) {
        let found = mangle::bounded(host.len() + path.len(), 4, || parse(Some("example.test"), &host, &path));
        if let Some(address) = found {
            prop_assert!(domain::parse_id("model", address.model.as_str()).is_ok());
            if let Action::Sync(rest) = address.action {
                prop_assert!(rest.starts_with('/') && path.ends_with(rest));
            }
        }
    }

    #[test]
    fn any_usual_head_has_one_reading(text in mangle::mangled_text(&HEADS)) {
        let mut room = [MaybeUninit::uninit(); FIELDS];
        let head = mangle::bounded(text.len(), 1, || request_head::read(text.as_bytes(), &mut room));
        let RequestHead::Usual(head) = head else { return Ok(()) };
        prop_assert!(head.size <= text.len() && head.target.starts_with('/'));
        let mut fields = Vec::new();
        head.write_fields(&mut fields);
        let fields = reread(&fields)?;
        let lengths: Vec<_> = fields.iter().filter(|(name, _)| name == "content-length").collect();
        prop_assert!(lengths.len() <= 1);
        let length = lengths.first().map_or(Some(0), |(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
        prop_assert_eq!(length, Some(head.length));
        for own in ["host", "authorization", "connection", "transfer-encoding", "upgrade", "expect", "x-forwarded-for"] {
            prop_assert!(fields.iter().all(|(name, _)| name != own), "{} in {:?}", own, fields);
        }
    }

    /// What is passed on is a head that reads the same way again.
    #[test]
    fn any_answer_is_passed_with_one_reading(text in mangle::mangled_text(&ANSWERS)) {
        let id = HeaderValue::from_static("id");
        let told = Told { form: Form::Path, id: &id, served_by: &id, waited: Some(5), closes: true, date: "now" };
        let mut written = Vec::new();
        let found = mangle::bounded(text.len(), 4, || answer_head::pass(text.as_bytes(), false, &told, &mut written));
        let AnswerHead::Final(found) = found else { return Ok(()) };
        prop_assert!(found.size <= text.len());
        // A few fields of ours come to the replica's.
        if text.lines().count() > FIELDS - 10 {
            return Ok(());
        }
        let AnswerHead::Final(again) = answer_head::pass(&written, false, &told, &mut Vec::new()) else {
            return Err(TestCaseError::fail(format!("{:?}", String::from_utf8_lossy(&written))));
        };
        prop_assert_eq!(again.size, written.len());
        prop_assert!(!again.stays);
        let framing = if found.framing == Framing::UntilClosed { Framing::Chunked } else { found.framing };
        prop_assert_eq!(again.framing, framing);
    }

    #[test]
    fn any_framing_is_followed_alike_in_one_piece_and_in_two(
        bytes in mangle::mangled(vec![CHUNKS.to_vec()]),
        cut in 0usize..80,
    ) {
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let mut whole = Chunks::new();
        let at_once = whole.follow(&bytes);
        let mut halves = Chunks::new();
        let in_two = halves.follow(first).and_then(|used| Ok(used + halves.follow(second)?));
        prop_assert_eq!(&at_once, &in_two);
        if at_once.is_ok() {
            prop_assert_eq!(whole.is_over(), halves.is_over());
        }
    }
}
