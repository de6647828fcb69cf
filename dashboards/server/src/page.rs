//! The built page from inside the binary. In a development build the files are read from `dashboards/web/dist`
//! on each request; in a release build they were embedded at compile time.

use crate::problem::Problem;
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::RustEmbed;
use std::borrow::Cow;

/// Where a file of the page comes from: path below the page's root to contents.
pub type PageFiles = fn(&str) -> Option<Cow<'static, [u8]>>;

#[derive(RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Built;

/// The files of the page that was built with this binary.
pub fn built(path: &str) -> Option<Cow<'static, [u8]>> {
    Built::get(path).map(|file| file.data)
}

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>gridflex</title>\n\
    <h1>The page is not built</h1>\n\
    <p>Run <code>make page</code> in the root of the source and build the program again.</p>\n\
    <p>The interface works without it: <a href=\"/api/v1/snapshot\">/api/v1/snapshot</a></p>\n</html>\n";

/// Answers any path outside `/api`: a file of the page, else `index.html`, else how to build it.
pub fn answer(files: PageFiles, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let path = request.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return Err(Problem::not_found(format!("there is no route {}", shortened(request.path()))));
    }
    if !path.is_empty()
        && let Some(contents) = files(path)
    {
        let keep =
            if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        return Ok(file(media_type(path), keep, contents));
    }
    if path.starts_with("assets/") {
        return Err(Problem::not_found(format!("the page has no file {}", shortened(path))));
    }
    let index = files("index.html").unwrap_or(Cow::Borrowed(NOT_BUILT.as_bytes()));
    Ok(file("text/html; charset=utf-8", "no-cache", index))
}

pub(crate) fn file(
    media_type: &'static str,
    keep: &'static str,
    contents: Cow<'static, [u8]>,
) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(media_type)
        .insert_header(("cache-control", keep))
        .body(contents.into_owned())
}

/// A path from outside, short enough to be repeated in an answer.
pub fn shortened(path: &str) -> String {
    path.chars().take(80).collect()
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
