//! What passes between clients and replicas, and what does not.

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;

use crate::address::Form;
use crate::grpc;
use crate::places::Place;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-baseten-request-id");
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
pub(crate) const COLD_START: HeaderName = HeaderName::from_static("x-cold-start-ms");
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What no answer under the path form may say.
pub(crate) const FENCED: [&str; 5] = [
    "set-cookie",
    "clear-site-data",
    "service-worker-allowed",
    "content-security-policy",
    "x-content-type-options",
];
/// What each of them says.
pub(crate) const FENCES: [(&str, &str); 2] =
    [("content-security-policy", "sandbox"), ("x-content-type-options", "nosniff")];

/// The dashboard's cookie; no model ever sees it.
pub(crate) const SESSION: &str = "slipway_session";

/// Removes what concerns one connection only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [TE, TRAILER, UPGRADE, TRANSFER_ENCODING, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE] {
        headers.remove(name);
    }
}

/// Whom a connection comes from.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: HeaderValue,
    /// A proxy whose word on where a request came from is believed.
    is_trusted: bool,
    /// The connection's place, for as long as anybody has to do with it.
    place: Option<Rc<Place>>,
}

impl Peer {
    pub fn new(address: IpAddr, trusted: &[IpNet]) -> Self {
        let address = address.to_canonical();
        Self {
            is_trusted: trusted.iter().any(|network| network.contains(&address)),
            address: HeaderValue::from_str(&address.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            place: None,
        }
    }

    /// With the connection's place, if it has one.
    pub fn at(self, place: Option<Place>) -> Self {
        Self { place: place.map(Rc::new), ..self }
    }

    /// For what outlives the connection's own task.
    pub fn place(&self) -> Option<Rc<Place>> {
        self.place.clone()
    }

    /// Where the request came from, nearest last. What a stranger says of it counts for nothing.
    fn forwarded_for(&self, headers: &HeaderMap) -> HeaderValue {
        self.heard(headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes))
    }

    /// As [`Self::forwarded_for`], of what the request's headers say.
    pub fn heard<'a>(&'a self, said: impl Iterator<Item = &'a [u8]>) -> HeaderValue {
        if !self.is_trusted {
            return self.address.clone();
        }
        let said: Vec<&[u8]> = said.chain([self.address.as_bytes()]).collect();
        HeaderValue::from_bytes(&said.join(&b", "[..])).unwrap_or_else(|_| self.address.clone())
    }
}

/// Makes a client's headers fit for a replica, except for its `host`.
pub(crate) fn to_replica(headers: &mut HeaderMap, peer: &Peer, id: &HeaderValue) {
    strip_hop_by_hop(headers);
    for name in [AUTHORIZATION, grpc::AUTHORIZATION, PROXY_AUTHORIZATION, EXPECT, HOST] {
        headers.remove(name);
    }
    if headers.contains_key(COOKIE) {
        remove_session(headers);
    }
    headers.insert(FORWARDED_FOR, peer.forwarded_for(headers));
    headers.insert(REQUEST_ID, id.clone());
}

/// Bytes of a head, about as they came.
pub(crate) fn size<B>(request: &Request<B>) -> u64 {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    // Beside its name and its value a field has a colon, a space and a line's end.
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    (target + fields.sum::<usize>()) as u64
}

fn remove_session(headers: &mut HeaderMap) {
    let kept: Vec<String> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|pair| pair.split('=').next().is_none_or(|name| name.trim() != SESSION))
        .filter(|pair| !pair.is_empty())
        .map(str::to_owned)
        .collect();
    headers.remove(COOKIE);
    if let (false, Ok(value)) = (kept.is_empty(), kept.join("; ").parse()) {
        headers.insert(COOKIE, value);
    }
}

/// Makes a replica's headers fit for a client. Under the path form a model shares its origin with the dashboard, so
/// its answers may neither set state there nor run as a page.
pub(crate) fn to_client(headers: &mut HeaderMap, form: Form) {
    strip_hop_by_hop(headers);
    fence(headers, form);
}

/// As [`to_client`], for the answer to a handshake, whose hop-by-hop headers are its point.
pub(crate) fn fence(headers: &mut HeaderMap, form: Form) {
    if form == Form::Path {
        for name in FENCED {
            headers.remove(name);
        }
        for (name, value) in FENCES {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Makes request ids that don't repeat; one per thread.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// Chance, so that no two threads or servers make the same ones.
    begin: u64,
    count: Cell<u64>,
}

impl Default for RequestIds {
    fn default() -> Self {
        let chance = RandomState::new();
        Self { begin: chance.hash_one(0), count: Cell::new(chance.hash_one(1)) }
    }
}

impl RequestIds {
    /// The client's own id if it is fit to be one, else a new one.
    pub fn of(&self, headers: &HeaderMap) -> HeaderValue {
        self.from(headers.get(REQUEST_ID).map(HeaderValue::as_bytes))
    }

    /// As [`Self::of`], of what the client's header says.
    pub fn from(&self, given: Option<&[u8]>) -> HeaderValue {
        let fit = |id: &&[u8]| (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        let given = given.filter(fit).and_then(|id| HeaderValue::from_bytes(id).ok());
        given.unwrap_or_else(|| self.next())
    }

    fn next(&self) -> HeaderValue {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        let mut text = [0; 32];
        // An odd factor meets each number once, and neighbours look unlike each other.
        hex(self.begin, &mut text[..16]);
        hex(count.wrapping_mul(0x9e37_79b9_7f4a_7c15), &mut text[16..]);
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

fn hex(number: u64, into: &mut [u8]) {
    for (at, digit) in into.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * at) & 15) as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn replicas_get_no_credentials_and_no_session() {
        let mut map = headers(&[
            ("authorization", "Bearer secret"),
            ("cookie", "a=1; slipway_session=secret; b=2"),
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("x-kept", "1"),
        ]);
        to_replica(&mut map, &peer("10.0.0.1", &[]), &HeaderValue::from_static("id"));
        assert_eq!(map.get("cookie").unwrap(), "a=1; b=2");
        assert!(!map.contains_key("authorization") && !map.contains_key("x-private"));
        assert_eq!(map.get("x-kept").unwrap(), "1");
        assert_eq!(map.get("x-forwarded-for").unwrap(), "10.0.0.1");
    }

    fn peer(address: &str, trusted: &[&str]) -> Peer {
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Peer::new(address.parse().unwrap(), &trusted)
    }

    #[test]
    fn only_a_trusted_proxy_says_where_a_request_came_from() {
        let said = [("x-forwarded-for", "203.0.113.9, 198.51.100.2")];
        let heard = |peer: &Peer| {
            let mut map = headers(&said);
            to_replica(&mut map, peer, &HeaderValue::from_static("id"));
            map.get("x-forwarded-for").unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(heard(&peer("192.0.2.1", &["10.0.0.0/8"])), "192.0.2.1");
        assert_eq!(heard(&peer("10.1.2.3", &["10.0.0.0/8"])), "203.0.113.9, 198.51.100.2, 10.1.2.3");
        assert_eq!(heard(&peer("::ffff:10.1.2.3", &["10.0.0.0/8"])), "203.0.113.9, 198.51.100.2, 10.1.2.3");
        let mut map = headers(&[]);
        to_replica(&mut map, &peer("10.1.2.3", &["10.0.0.0/8"]), &HeaderValue::from_static("id"));
        assert_eq!(map.get("x-forwarded-for").unwrap(), "10.1.2.3");
    }

    #[test]
    fn only_the_path_form_is_fenced_in() {
        let hostile = [("set-cookie", "a=1"), ("service-worker-allowed", "/")];
        let (mut path, mut host) = (headers(&hostile), headers(&hostile));
        to_client(&mut path, Form::Path);
        to_client(&mut host, Form::Host);
        assert!(!path.contains_key("set-cookie") && !path.contains_key("service-worker-allowed"));
        assert_eq!(path.get("content-security-policy").unwrap(), "sandbox");
        assert!(host.contains_key("set-cookie") && !host.contains_key("content-security-policy"));
    }

    #[test]
    fn a_head_is_as_long_as_its_target_and_its_fields() {
        let request =
            Request::get("http://h/a?b=c").header("host", "h").header("x-a", "").header("x-a", "12");
        assert_eq!(size(&request.body(()).unwrap()), 6 + 9 + 7 + 9);
    }

    #[test]
    fn request_ids_are_kept_if_fit_and_else_made() {
        let ids = RequestIds::default();
        assert_eq!(ids.of(&headers(&[("x-baseten-request-id", "mine")])), "mine");
        let made = ids.of(&headers(&[("x-baseten-request-id", "not mine")]));
        assert_eq!(made.len(), 32);
        assert_ne!(made, ids.of(&HeaderMap::new()));
    }
}
