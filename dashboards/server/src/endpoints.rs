//! Every endpoint, as data: what it answers to, whose right it asks for, what it takes and gives. The routes, the OpenAPI
//! document and the tests of rights are made from this table; there is no other way to add a route.

mod deposits;
mod grid;
mod market;
mod parties;
mod system;

use access::{Action, Resource};
use actix_web::Route;

/// What an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// JSON of this schema.
    Json(&'static str),
    /// JSON of no schema of ours.
    AnyJson,
    /// Server-sent events.
    Events,
    /// Plain text.
    Text,
    /// A page for people.
    Page,
    /// Nothing.
    Nothing,
}

/// An answer that is no problem document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// What it means.
    pub meaning: &'static str,
    /// What it carries.
    pub content: Content,
}

/// Something that may stand behind the question mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Name of its schema.
    pub schema: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether it may stand there more than once.
    pub many: bool,
}

const fn parameter(name: &'static str, schema: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, schema, meaning, many: false }
}

/// One method of one path.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Its path; names in braces stand for what [`openapi`](crate::openapi) says of them.
    pub path: &'static str,
    /// Name of the operation.
    pub operation: &'static str,
    /// What it does, one line.
    pub summary: &'static str,
    /// Whose right it asks for: of what, and to do what.
    pub right: (Resource, Action),
    /// What may stand behind the question mark.
    pub query: &'static [Parameter],
    /// Schema of the body it takes.
    pub body: Option<&'static str>,
    /// Its answers when all is well.
    pub answers: &'static [Answer],
    /// Status codes of its problem documents, beside those that every endpoint has.
    pub problems: &'static [u16],
    /// What handles it.
    pub route: fn() -> Route,
}

const fn json(status: u16, meaning: &'static str, schema: &'static str) -> Answer {
    Answer { status, meaning, content: Content::Json(schema) }
}

const OPEN: (Resource, Action) = (Resource::Open, Action::Read);

/// All of them, those of one path side by side.
pub const ENDPOINTS: &[Endpoint] = &joined::<COUNT>(PARTS);

const PARTS: &[&[Endpoint]] =
    &[system::SYSTEM, grid::GRID, market::MARKET, parties::PARTIES, deposits::DEPOSITS];
const COUNT: usize = count(PARTS);

const fn count(parts: &[&[Endpoint]]) -> usize {
    let (mut count, mut part) = (0, 0);
    while part < parts.len() {
        count += parts[part].len();
        part += 1;
    }
    count
}

const fn joined<const COUNT: usize>(parts: &[&[Endpoint]]) -> [Endpoint; COUNT] {
    let mut all = [parts[0][0]; COUNT];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut place = 0;
        while place < parts[part].len() {
            all[at] = parts[part][place];
            (at, place) = (at + 1, place + 1);
        }
        part += 1;
    }
    all
}

/// The endpoints of each path.
pub fn by_path() -> impl Iterator<Item = &'static [Endpoint]> {
    ENDPOINTS.chunk_by(|one, next| one.path == next.path)
}

impl Endpoint {
    /// Whether anybody may ask it.
    pub fn is_open(&self) -> bool {
        let (resource, action) = self.right;
        access::decide(None, resource, action, None) == access::Decision::Allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_and_no_operation_stands_twice() {
        let mut paths: Vec<&str> = by_path().map(|endpoints| endpoints[0].path).collect();
        let mut operations: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.operation).collect();
        for names in [&mut paths, &mut operations] {
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn what_is_open_tells_nothing_of_the_grid_or_the_market() {
        let open: Vec<&str> = ENDPOINTS.iter().filter(|one| one.is_open()).map(|one| one.path).collect();
        let session = ["/api/v1/session"; 3];
        let sign_in = ["/api/v1/session/oidc", "/api/v1/session/oidc/callback"];
        let expected =
            [&["/healthz", "/readyz", "/api/v1/openapi.json"][..], &session, &sign_in, &["/api/v1/setup"]];
        assert_eq!(open, expected.concat());
    }
}
