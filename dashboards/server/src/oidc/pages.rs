//! What people see while they sign in: the log-in page with the provider's button, and what came of it.

use crate::problem::Problem;
use crate::session::PAGE;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};

/// Where the log-in page says who is logged in.
const WHO: &str = "  <!-- who -->\n";
/// Where it has the provider's button.
const OTHERS: &str = "  <!-- others -->\n";

/// The log-in page; `provider` has a button on it, and `who` is logged in already.
pub(crate) fn login_page(provider: Option<&str>, who: Option<&str>) -> String {
    let others = provider.map_or(String::new(), |name| {
        format!(
            "  <p class=\"or\">or</p>\n  \
             <p><a class=\"button\" href=\"/api/v1/session/oidc\">Sign in with {}</a></p>\n",
            mark_up(name)
        )
    });
    let who = who.map_or(String::new(), |who| {
        format!(
            "  <form id=\"log-out\">\n    <p>Logged in as {}. <a href=\"/\">To the grid</a></p>\n    \
             <p><button>Log out</button></p>\n    <p class=\"or\">or as somebody else</p>\n  </form>\n",
            mark_up(who)
        )
    });
    String::from_utf8_lossy(PAGE).replace(OTHERS, &others).replace(WHO, &who)
}

/// The page that goes on to the grid. It is a page and no redirect: a cookie that other sites cannot use is not sent while the
/// browser still follows the way it was sent from the provider.
pub(super) fn signed_in(cookies: [String; 2]) -> HttpResponse {
    let page = page(
        "Signed in",
        "<meta http-equiv=\"refresh\" content=\"0;url=/\">\n",
        "<p>You are signed in. <a href=\"/\">To the grid</a></p>",
    );
    let mut answer = HttpResponse::Ok();
    for cookie in cookies {
        answer.append_header(("set-cookie", cookie));
    }
    answer.content_type("text/html; charset=utf-8").insert_header(("cache-control", "no-store")).body(page)
}

/// The page that says why somebody was not let in.
pub(super) fn refused(problem: &Problem) -> HttpResponse {
    let (code, detail) = problem.words();
    let mut sentence = detail.to_owned();
    if let Some(first) = sentence.get(..1).map(str::to_ascii_uppercase) {
        sentence.replace_range(..1, &first);
    }
    let body = format!(
        "<p id=\"refusal\" role=\"alert\" data-code=\"{}\">{}.</p>\n  <p><a class=\"button\" href=\"/login\">Back to the log-in page</a></p>",
        mark_up(code),
        mark_up(&sentence)
    );
    let status = problem.status_code();
    let status = if status.is_success() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header(("cache-control", "no-store"))
        .body(page("Not signed in", "", &body))
}

fn page(title: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"dark\">\n\
         <title>{title} · gridflex</title>\n{head}<link rel=\"stylesheet\" href=\"/login.css\">\n\
         <main>\n  <h1>gridflex</h1>\n  {body}\n</main>\n</html>\n"
    )
}

/// Text as it stands in a page.
fn mark_up(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_in_page_has_what_there_is_and_names_are_text() {
        let plain = login_page(None, None);
        assert!(plain.contains("id=\"login\"") && !plain.contains("session/oidc") && !plain.contains("<!--"));
        let both = login_page(Some("<b>A&B</b>"), Some("ada \"x\""));
        assert!(both.contains("Sign in with &lt;b&gt;A&amp;B&lt;/b&gt;</a>"), "{both}");
        assert!(both.contains("Logged in as ada &quot;x&quot;."), "{both}");
    }
}
