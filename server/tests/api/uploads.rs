//! The upload door.

use bytes::Bytes;

use crate::support::{Call, World, now};

fn put(path: String) -> Call {
    Call::new("PUT", path).body("an archive")
}

#[tokio::test]
async fn an_archive_in_parts_is_whole_afterwards() {
    let world = World::start().await;
    let credentials = world.credentials().await;
    let (path, host) = (credentials.path(), world.host());
    let sign = |call: Call| credentials.sign(call, &host, now());

    let begun = world.send(sign(Call::new("POST", format!("{path}?uploads")))).await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    let text = begun.text();
    let id = text.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();

    let archive = crate::support::archive();
    let halves = archive.chunks(archive.len().div_ceil(3)).map(Bytes::copy_from_slice).enumerate();
    let mut list = String::new();
    for (index, part) in halves {
        let number = index + 1;
        let call = Call::new("PUT", format!("{path}?uploadId={id}&partNumber={number}")).body(part);
        let answer = world.send(sign(call)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let etag = answer.headers["etag"].to_str().unwrap().to_owned();
        list.push_str(&format!("<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber></Part>"));
    }
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let done = world.send(sign(Call::new("POST", format!("{path}?uploadId={id}")).body(list))).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("CompleteMultipartUploadResult"), "{}", done.text());

    // A push is what an archive is for: it must be the one that was sent.
    let answer = world
        .ask(crate::support::client::create_model(
            "Parts",
            credentials.key(),
            &crate::support::config(""),
            "",
        ))
        .await;
    crate::support::pushed(&answer);
    world.stop().await;
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let world = World::start().await;
    let credentials = world.credentials().await;
    let (path, host) = (credentials.path(), world.host());
    let begun =
        world.send(credentials.sign(Call::new("POST", format!("{path}?uploads")), &host, now())).await.text();
    let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap();
    let whole = format!("{path}?uploadId={id}");
    let aborted = world.send(credentials.sign(Call::new("DELETE", whole.clone()), &host, now())).await;
    assert_eq!(aborted.status, 204);
    let part = Call::new("PUT", format!("{whole}&partNumber=1")).body("x");
    let answer = world.send(credentials.sign(part, &host, now())).await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("<Code>NoSuchUpload</Code>"), "{}", answer.text());
    world.stop().await;
}

#[tokio::test]
async fn a_signature_is_good_for_what_it_signed() {
    let world = World::start().await;
    let credentials = world.credentials().await;
    let host = world.host();
    let code = async |call: Call, status: u16, code: &str| {
        let answer = world.send(call).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    };
    let mut other_body = credentials.sign(put(credentials.path()), &host, now());
    other_body.body = "another archive".into();
    code(other_body, 400, "XAmzContentSHA256Mismatch").await;

    let mut elsewhere = credentials.sign(put(credentials.path()), &host, now());
    elsewhere.path = "/s3/uploads/another.tgz".into();
    code(elsewhere, 403, "SignatureDoesNotMatch").await;

    let foreign = credentials.sign(put("/s3/uploads/..%2F..%2Fslipway.db".into()), &host, now());
    code(foreign, 403, "AccessDenied").await;

    code(credentials.sign(put(credentials.path()), &host, now() - 3600), 403, "RequestTimeTooSkewed").await;
    code(put(credentials.path()), 403, "AccessDenied").await;
    code(credentials.sign(Call::new("GET", credentials.path()), &host, now()), 405, "MethodNotAllowed").await;

    let right = world.send(credentials.sign(put(credentials.path()), &host, now())).await;
    assert_eq!(right.status, 200, "refusals use nothing up: {}", right.text());
    assert!(right.headers.contains_key("etag"));
    world.stop().await;
}
