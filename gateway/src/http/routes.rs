//! Routes that are listed as they are mounted: axum does not tell what it answers, and the document must describe it all.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodRouter, delete, get, patch, post, put},
};

use crate::app::App;

/// A method and a path that are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The path, its parameters in braces: `/v1/tickets/{id}`.
    pub path: String,
    /// The method: `GET`, which answers `HEAD` too.
    pub method: Method,
    /// Whether it needs an API key.
    pub keyed: bool,
}

/// Handlers, mounted one by one, and the list of them.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<App>,
    list: Vec<Route>,
}

impl Routes {
    pub(super) fn new() -> Routes {
        Routes::default()
    }

    pub(super) fn get<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::GET, path, get(handler))
    }

    pub(super) fn post<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::POST, path, post(handler))
    }

    pub(super) fn put<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::PUT, path, put(handler))
    }

    pub(super) fn patch<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::PATCH, path, patch(handler))
    }

    pub(super) fn delete<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::DELETE, path, delete(handler))
    }

    /// A handler with layers of its own, which must answer this method and no other.
    pub(super) fn route(mut self, method: Method, path: &str, handler: MethodRouter<App>) -> Routes {
        self.router = self.router.route(path, handler);
        self.list.push(Route { path: path.to_owned(), method, keyed: true });
        self
    }

    pub(super) fn merge(mut self, other: Routes) -> Routes {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self
    }

    /// The same below a path.
    pub(super) fn under(self, path: &str) -> Routes {
        let below = |route: Route| Route { path: format!("{path}{}", route.path), ..route };
        Routes { router: Router::new().nest(path, self.router), list: self.list.into_iter().map(below).collect() }
    }

    /// The same, answered to anybody.
    pub(super) fn open(self) -> Routes {
        Routes { list: self.list.into_iter().map(|route| Route { keyed: false, ..route }).collect(), ..self }
    }

    /// What `layers` makes of the handlers, which must remain where they are.
    pub(super) fn layered(self, layers: impl FnOnce(Router<App>) -> Router<App>) -> Routes {
        Routes { router: layers(self.router), ..self }
    }

    pub(super) fn list(&self) -> &[Route] {
        &self.list
    }

    pub(super) fn into_router(self) -> Router<App> {
        self.router
    }
}
