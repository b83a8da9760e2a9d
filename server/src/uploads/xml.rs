//! The few XML documents that S3 clients exchange with us.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

use super::signature::Refused;

/// A failure as S3 clients read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct S3Error {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl S3Error {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub fn response(&self) -> Response {
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>",
            self.code,
            escape(self.message.as_str())
        );
        answer(self.status, document)
    }
}

impl From<Refused> for S3Error {
    fn from(refused: Refused) -> Self {
        let status = match refused.code {
            "NotImplemented" => StatusCode::NOT_IMPLEMENTED,
            "InvalidRequest" | "AuthorizationHeaderMalformed" => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        };
        Self::new(status, refused.code, refused.message)
    }
}

/// Answers the start of a multipart upload.
pub fn initiated(bucket: &str, key: &str, upload: &str) -> Response {
    document("InitiateMultipartUploadResult", &[("Bucket", bucket), ("Key", key), ("UploadId", upload)])
}

/// Answers the end of a multipart upload.
pub fn completed(bucket: &str, key: &str, etag: &str) -> Response {
    let location = format!("/s3/{bucket}/{key}");
    document(
        "CompleteMultipartUploadResult",
        &[("Location", location.as_str()), ("Bucket", bucket), ("Key", key), ("ETag", etag)],
    )
}

fn document(name: &str, fields: &[(&str, &str)]) -> Response {
    let fields: String =
        fields.iter().map(|(field, value)| format!("<{field}>{}</{field}>", escape(*value))).collect();
    answer(
        StatusCode::OK,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <{name} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{fields}</{name}>"
        ),
    )
}

fn answer(status: StatusCode, document: String) -> Response {
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// The part numbers of a `CompleteMultipartUpload`, as they are to be joined.
pub fn parts(body: &[u8]) -> Result<Vec<u32>, S3Error> {
    let malformed =
        || S3Error::new(StatusCode::BAD_REQUEST, "MalformedXML", "the list of parts could not be read");
    let mut reader = Reader::from_reader(body);
    let mut numbers = Vec::new();
    let mut inside = false;
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(tag) => inside = tag.local_name().as_ref() == b"PartNumber",
            Event::End(_) => inside = false,
            Event::Text(text) if inside => {
                let text = std::str::from_utf8(&text).map_err(|_| malformed())?;
                numbers.push(text.trim().parse().map_err(|_| malformed())?);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if numbers.is_empty() || !numbers.is_sorted_by(|a, b| a < b) {
        let message = "the parts must be listed, each once, in ascending order";
        return Err(S3Error::new(StatusCode::BAD_REQUEST, "InvalidPartOrder", message));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_in_order() {
        let body = b"<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><ETag>&quot;a&quot;</ETag>\
            <PartNumber>1</PartNumber></Part><Part><PartNumber>2</PartNumber><ETag>b</ETag></Part></CompleteMultipartUpload>";
        assert_eq!(parts(body).unwrap(), [1, 2]);
    }

    #[test]
    fn nonsense_is_refused() {
        for body in [
            "",
            "<a>",
            "<PartNumber>x</PartNumber>",
            "<P><PartNumber>2</PartNumber><PartNumber>1</PartNumber></P>",
        ] {
            assert!(parts(body.as_bytes()).is_err(), "{body}");
        }
    }
}
