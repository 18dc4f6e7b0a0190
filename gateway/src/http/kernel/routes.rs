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
pub(in crate::http) struct Routes {
    router: Router<App>,
    list: Vec<Route>,
}

impl Routes {
    pub(in crate::http) fn new() -> Routes {
        Routes::default()
    }

    pub(in crate::http) fn get<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::GET, path, get(handler))
    }

    pub(in crate::http) fn post<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::POST, path, post(handler))
    }

    pub(in crate::http) fn put<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::PUT, path, put(handler))
    }

    pub(in crate::http) fn patch<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::PATCH, path, patch(handler))
    }

    pub(in crate::http) fn delete<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H) -> Routes {
        self.route(Method::DELETE, path, delete(handler))
    }

    /// A handler with layers of its own, which must answer this method and no other.
    pub(in crate::http) fn route(mut self, method: Method, path: &str, handler: MethodRouter<App>) -> Routes {
        self.router = self.router.route(path, handler);
        self.list.push(Route { path: path.to_owned(), method, keyed: true });
        self
    }

    pub(in crate::http) fn merge(mut self, other: Routes) -> Routes {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self
    }

    /// The same below a path.
    pub(in crate::http) fn under(self, path: &str) -> Routes {
        let below = |route: Route| Route { path: format!("{path}{}", route.path), ..route };
        Routes { router: Router::new().nest(path, self.router), list: self.list.into_iter().map(below).collect() }
    }

    /// The same, answered to anybody.
    pub(in crate::http) fn open(self) -> Routes {
        Routes { list: self.list.into_iter().map(|route| Route { keyed: false, ..route }).collect(), ..self }
    }

    /// What `layers` makes of the handlers, which must remain where they are.
    pub(in crate::http) fn layered(self, layers: impl FnOnce(Router<App>) -> Router<App>) -> Routes {
        Routes { router: layers(self.router), ..self }
    }

    pub(in crate::http) fn list(&self) -> &[Route] {
        &self.list
    }

    pub(in crate::http) fn into_router(self) -> Router<App> {
        self.router
    }
}
