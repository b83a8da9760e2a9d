//! Signatures, chunks and lists of parts that nobody would send on purpose.

use http::request::Parts;
use proptest::prelude::*;

use super::chunked::Chunked;
use super::signature::Authorization;
use super::xml::parts;

const HEADER: &str = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
     SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=\
     f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The moment of the example that AWS publishes, and its secret.
const NOON: i64 = 1_369_353_600;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const CHUNKS: &[u8] = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
const LIST: &[u8] = b"<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><ETag>&quot;a&quot;</ETag>\
    <PartNumber>1</PartNumber></Part><Part><PartNumber>2</PartNumber><ETag>b</ETag></Part></CompleteMultipartUpload>";

/// A request with what of these headers can be sent at all.
fn request(uri: &str, headers: [(&str, &str); 4]) -> Option<Parts> {
    let mut builder = http::Request::builder().method("GET").uri(uri);
    for (name, value) in headers {
        builder = builder.header(name, value.as_bytes());
    }
    builder.header("range", "bytes=0-9").body(()).ok().map(|request| request.into_parts().0)
}

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_signature_is_checked_or_refused(
        header in mangle::mangled_text(&[HEADER]),
        stamp in mangle::mangled_text(&["20130524T000000Z"]),
        payload in mangle::mangled_text(&[HASH, "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]),
        uri in mangle::mangled_text(&["/test.txt", "/?max-keys=2&prefix=J", "/a%24b?x&y=&=z"]),
    ) {
        let headers = [
            ("authorization", header.as_str()),
            ("x-amz-date", &stamp),
            ("x-amz-content-sha256", &payload),
            ("host", "examplebucket.s3.amazonaws.com"),
        ];
        if let Some(parts) = request(&uri, headers) {
            let size = header.len() + stamp.len() + payload.len() + uri.len();
            let passed = mangle::bounded(size, 64, || {
                Authorization::read(&parts).and_then(|read| read.check(&parts, SECRET, NOON))
            });
            match passed {
                // Only what was signed passes.
                Ok(_) => prop_assert!(uri == "/test.txt" && payload.eq_ignore_ascii_case(HASH) && stamp == "20130524T000000Z"),
                Err(refused) => prop_assert!(!refused.message.is_empty()),
            }
        }
    }

    #[test]
    fn any_chunks_are_decoded_or_refused(bytes in mangle::mangled(vec![CHUNKS.to_vec()]), cut in 1usize..70) {
        mangle::bounded(bytes.len(), 16, || {
            let mut chunked = Chunked::default();
            let mut length = 0;
            for piece in bytes.chunks(cut) {
                let Ok(data) = chunked.decode(piece) else { return };
                length += data.len();
            }
            assert!(length <= bytes.len());
        });
    }

    #[test]
    fn any_list_of_parts_is_read_or_refused(bytes in mangle::mangled(vec![LIST.to_vec()])) {
        if let Ok(numbers) = mangle::bounded(bytes.len(), 64, || parts(&bytes)) {
            prop_assert!(!numbers.is_empty() && numbers.is_sorted());
        }
    }
}
