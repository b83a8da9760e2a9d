//! Requests signed as boto3 signs them.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::http::Call;

/// Upload credentials as the push client gets them.
pub struct Credentials(pub Value);

impl Credentials {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    pub fn path(&self) -> String {
        format!("/s3/{}/{}", self.text("s3_bucket"), self.text("s3_key"))
    }

    pub fn key(&self) -> &str {
        self.text("s3_key")
    }

    /// Signs a call at a time in seconds since 1970.
    pub fn sign(&self, mut call: Call, host: &str, now: i64) -> Call {
        let moment = domain::Timestamp::from_millis(now * 1000).rfc3339();
        let digits: String = moment.chars().take(19).filter(|c| c.is_ascii_digit()).collect();
        let (date, time) = digits.split_at(8);
        let stamp = format!("{date}T{time}Z");
        let hash = hex(&Sha256::digest(&call.body));
        let token = self.text("aws_session_token").to_owned();
        call = call
            .header("host", host)
            .header("x-amz-content-sha256", hash.clone())
            .header("x-amz-date", stamp.clone())
            .header("x-amz-security-token", token);
        let signed = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
        let headers: String = signed
            .split(';')
            .map(|name| {
                let value = &call.headers.iter().find(|(header, _)| header == name).unwrap().1;
                format!("{name}:{value}\n")
            })
            .collect();
        let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
        let mut pairs: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        pairs.sort();
        let canonical = format!("{}\n{path}\n{}\n{headers}\n{signed}\n{hash}", call.method, pairs.join("&"));
        let scope = format!("{date}/us-east-1/s3/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut key = format!("AWS4{}", self.text("aws_secret_access_key")).into_bytes();
        for part in [date, "us-east-1", "s3", "aws4_request", &to_sign] {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        let credential = format!("{}/{scope}", self.text("aws_access_key_id"));
        call.header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={}",
                hex(&key)
            ),
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
