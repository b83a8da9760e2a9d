//! AWS Signature Version 4, checked: what proves that an upload's sender holds the one-time key.

use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::{Date, Month, Time};

/// How far the sender's clock may be off, in seconds.
const CLOCK_SKEW: i64 = 15 * 60;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What stands for the digest of a body that is not signed.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// Headers that [`authorize`] signs.
const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";

/// Why a signature was refused: the S3 error code, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    pub code: &'static str,
    pub message: String,
}

fn refused(code: &'static str, message: impl Into<String>) -> Refused {
    Refused { code, message: message.into() }
}

/// The parts of an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    pub access_key: String,
    date: String,
    region: String,
    service: String,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
}

/// What the sender says of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The lower-case hex SHA-256 the body must have.
    Hashed(String),
    Unsigned,
    /// The body is `aws-chunked`, with unsigned chunks and a trailer.
    ChunkedUnsigned,
}

impl Authorization {
    /// Reads the header; it must be of Signature Version 4.
    pub fn read(parts: &Parts) -> Result<Self, Refused> {
        let header = text(parts, "authorization")
            .ok_or_else(|| refused("AccessDenied", "the request carries no signature"))?;
        let malformed = || {
            refused(
                "AuthorizationHeaderMalformed",
                "the Authorization header is not one of Signature Version 4",
            )
        };
        let fields = header.strip_prefix(ALGORITHM).ok_or_else(malformed)?;
        let field =
            |name: &str| fields.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let credential: Vec<&str> = field("Credential").ok_or_else(malformed)?.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = credential[..] else {
            return Err(malformed());
        };
        let signed: Vec<String> =
            field("SignedHeaders").ok_or_else(malformed)?.split(';').map(str::to_ascii_lowercase).collect();
        Ok(Self {
            access_key: access_key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: signed,
            signature: unhex(field("Signature").ok_or_else(malformed)?).ok_or_else(malformed)?,
        })
    }

    /// Checks the signature against the secret, and says what the body must be. `now` in seconds since 1970.
    pub fn check(&self, parts: &Parts, secret: &str, now: i64) -> Result<Payload, Refused> {
        let stamp =
            text(parts, "x-amz-date").ok_or_else(|| refused("AccessDenied", "X-Amz-Date is missing"))?;
        let moment = moment(stamp)
            .ok_or_else(|| refused("AccessDenied", "X-Amz-Date is not like 20260102T030405Z"))?;
        if (moment - now).abs() > CLOCK_SKEW || !stamp.starts_with(&self.date) {
            let message =
                format!("the request's time, {stamp}, is not within 15 minutes of this server's clock");
            return Err(refused("RequestTimeTooSkewed", message));
        }
        if !self.signed_headers.iter().any(|name| name == "host") {
            return Err(refused("AccessDenied", "the host must be among the signed headers"));
        }
        let payload = text(parts, "x-amz-content-sha256")
            .ok_or_else(|| refused("InvalidRequest", "X-Amz-Content-SHA256 is missing"))?;
        let expected = self.signed(parts, secret, stamp, payload)?;
        if !bool::from(expected.ct_eq(&self.signature)) {
            return Err(refused("SignatureDoesNotMatch", "the signature does not match the request"));
        }
        match payload {
            UNSIGNED => Ok(Payload::Unsigned),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Payload::ChunkedUnsigned),
            hash if hash.len() == 64 && unhex(hash).is_some() => {
                Ok(Payload::Hashed(hash.to_ascii_lowercase()))
            }
            other => Err(refused("NotImplemented", format!("a body signed as `{other}` is not supported"))),
        }
    }

    /// The signature that the request must have.
    fn signed(&self, parts: &Parts, secret: &str, stamp: &str, payload: &str) -> Result<Vec<u8>, Refused> {
        let canonical = self.canonical(parts, payload)?;
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let to_sign =
            format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let mut key = sign(format!("AWS4{secret}").as_bytes(), &self.date);
        for part in [self.region.as_str(), &self.service, "aws4_request"] {
            key = sign(&key, part);
        }
        Ok(sign(&key, &to_sign))
    }

    fn canonical(&self, parts: &Parts, payload: &str) -> Result<String, Refused> {
        let mut headers = String::new();
        for name in &self.signed_headers {
            let values: Vec<String> = if name == "host" {
                vec![host(parts).ok_or_else(|| refused("AccessDenied", "the Host header is missing"))?]
            } else {
                parts
                    .headers
                    .get_all(name.as_str())
                    .iter()
                    .map(|value| {
                        String::from_utf8_lossy(value.as_bytes())
                            .split_whitespace()
                            .collect::<Vec<_>>()
                            .join(" ")
                    })
                    .collect()
            };
            if values.is_empty() {
                return Err(refused("AccessDenied", format!("the signed header {name} is missing")));
            }
            headers.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        Ok(format!(
            "{}\n{}\n{}\n{headers}\n{}\n{payload}",
            parts.method,
            parts.uri.path(),
            canonical_query(parts.uri.query().unwrap_or_default()),
            self.signed_headers.join(";"),
        ))
    }
}

/// The `Authorization` header of a request with an unsigned body, which must have its `host`, `x-amz-date` and
/// `x-amz-content-sha256` already: how a client of ours uploads.
pub fn authorize(parts: &Parts, access_key: &str, secret: &str, region: &str) -> Result<String, Refused> {
    let stamp = text(parts, "x-amz-date").ok_or_else(|| refused("AccessDenied", "X-Amz-Date is missing"))?;
    let authorization = Authorization {
        access_key: access_key.to_owned(),
        date: stamp.get(..8).unwrap_or_default().to_owned(),
        region: region.to_owned(),
        service: "s3".into(),
        signed_headers: SIGNED.split(';').map(str::to_owned).collect(),
        signature: Vec::new(),
    };
    let signature = authorization.signed(parts, secret, stamp, UNSIGNED)?;
    Ok(format!(
        "{ALGORITHM} Credential={access_key}/{}/{region}/s3/aws4_request, SignedHeaders={SIGNED}, Signature={}",
        authorization.date,
        hex(&signature)
    ))
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn host(parts: &Parts) -> Option<String> {
    text(parts, "host").map(str::to_owned).or_else(|| parts.uri.authority().map(ToString::to_string))
}

fn text<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}

/// Seconds since 1970 of a time like `20260102T030405Z`.
fn moment(stamp: &str) -> Option<i64> {
    let digits = stamp.strip_suffix('Z')?;
    if digits.len() != 15 || !digits.is_ascii() || digits.as_bytes()[8] != b'T' {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize| u8::try_from(number(from, from + 2)?).ok();
    let month = Month::try_from(small(4)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6)?).ok()?;
    let time = Time::from_hms(small(9)?, small(11)?, small(13)?).ok()?;
    Some(date.with_time(time).assume_utc().unix_timestamp())
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length is accepted, so this can't fail.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        })
        .unwrap_or_default()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The examples that AWS publishes for S3 in "Authenticating Requests: Using the Authorization Header".
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const NOON: i64 = 1_369_353_600;
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn request(method: &str, uri: &str, headers: &[(&str, &str)], signed: &str, signature: &str) -> Parts {
        let mut builder = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let authorization = format!(
            "{ALGORITHM} Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders={signed},Signature={signature}"
        );
        builder.header("authorization", authorization).body(()).unwrap().into_parts().0
    }

    fn get_object(signature: &str) -> Parts {
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
        ];
        request("GET", "/test.txt", &headers, "host;range;x-amz-content-sha256;x-amz-date", signature)
    }

    const GET_OBJECT: &str = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";

    #[test]
    fn the_published_examples_are_accepted() {
        let get = get_object(GET_OBJECT);
        let authorization = Authorization::read(&get).unwrap();
        assert_eq!(authorization.access_key, "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(authorization.check(&get, SECRET, NOON), Ok(Payload::Hashed(EMPTY.into())));

        let put = request(
            "PUT",
            "/test%24file.text",
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("host", "examplebucket.s3.amazonaws.com"),
                ("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
                ("x-amz-date", "20130524T000000Z"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        assert!(Authorization::read(&put).unwrap().check(&put, SECRET, NOON).is_ok());

        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
        ];
        let signed = "host;x-amz-content-sha256;x-amz-date";
        let lifecycle = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
        let bare = request("GET", "/?lifecycle", &headers, signed, lifecycle);
        assert!(Authorization::read(&bare).unwrap().check(&bare, SECRET, NOON).is_ok());
        let list = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        let sorted = request("GET", "/?max-keys=2&prefix=J", &headers, signed, list);
        assert!(Authorization::read(&sorted).unwrap().check(&sorted, SECRET, NOON).is_ok());
    }

    #[test]
    fn another_secret_path_or_time_is_refused() {
        let get = get_object(GET_OBJECT);
        let code = |parts: &Parts, secret: &str, now| {
            Authorization::read(parts).unwrap().check(parts, secret, now).unwrap_err().code
        };
        assert_eq!(code(&get, "another", NOON), "SignatureDoesNotMatch");
        assert_eq!(code(&get, SECRET, NOON + 901), "RequestTimeTooSkewed");
        let mut moved = get_object(GET_OBJECT);
        moved.uri = "/other.txt".parse().unwrap();
        assert_eq!(code(&moved, SECRET, NOON), "SignatureDoesNotMatch");
    }

    #[test]
    fn malformed_headers_are_refused_not_feared() {
        for header in [
            "",
            "Bearer x",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=,Signature=zz",
        ] {
            let parts =
                http::Request::builder().header("authorization", header).body(()).unwrap().into_parts().0;
            assert!(Authorization::read(&parts).is_err(), "{header}");
        }
        assert_eq!(unhex("é"), None);
    }
}
