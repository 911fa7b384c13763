//! Which requests are meant for an app whose manifest is wrong.
//!
//! They are to be told that it is not available. Were its routes forgotten, an app that answers for every host would get what
//! was meant for this one: its clients' passwords and cookies, too. So much is read as can be, and rather too much is
//! claimed than too little; what another app has a right to, [the server](crate::manifest::Broken) leaves to that one.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::nearest;
use crate::route::{self, HostPattern, RoutePattern};

/// What the manifest `text` claims.
pub(super) fn of(text: &str) -> Vec<RoutePattern> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let document = document.get_ref();
    match meant(document, "routes") {
        Some(DeValue::Array(routes)) => routes.iter().filter_map(|route| claim(route.get_ref())).collect(),
        // As an app without routes does. Where the text is no TOML, they may be in what could not be read.
        None if errors.is_empty() && document.contains_key("component") => vec![RoutePattern::any()],
        _ => Vec::new(),
    }
}

/// The value of a key that may be misspelt.
fn meant<'a, 'text>(table: &'a DeTable<'text>, key: &str) -> Option<&'a DeValue<'text>> {
    let near = || {
        table
            .iter()
            .find(|(written, _)| nearest(written.get_ref(), [key]).is_some())
    };
    let value = table.get(key).or_else(|| near().map(|(_, value)| value));
    value.map(Spanned::get_ref)
}

/// `None` where it cannot be told whose requests these are.
fn claim(route: &DeValue<'_>) -> Option<RoutePattern> {
    let DeValue::Table(route) = route else { return None };
    let host = match meant(route, "host") {
        Some(host) => host.as_str()?.parse().ok()?,
        None => HostPattern::Any,
    };
    let path = match meant(route, "path") {
        Some(path) => path.as_str().and_then(|path| route::path(path).ok()),
        None => Some("/".to_owned()),
    };
    // A host of its own is its own as a whole.
    let path = path.or_else(|| (host != HostPattern::Any).then(|| "/".to_owned()))?;
    let methods = meant(route, "methods").and_then(|methods| match methods {
        DeValue::Array(methods) if !methods.is_empty() => methods
            .iter()
            .map(|method| route::method(method.get_ref().as_str()?).ok())
            .collect(),
        _ => None,
    });
    Some(RoutePattern { host, path, methods })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let claimed: Vec<String> = of(text).iter().map(RoutePattern::to_string).collect();
        assert_eq!(claimed, expected, "{text}");
    }

    #[test]
    fn what_can_be_read_is_claimed() {
        let routes = |routes: &str| format!("component = 7\nroutes = [{routes}]");
        check(&routes("{ host = 'a.test' }"), &["a.test/"]);
        check(&routes("{ hosts = 'a.test', pth = '/x' }"), &["a.test/x"]);
        check("component = 7\nroute = [{ host = 'a.test' }]", &["a.test/"]);
        check(&routes("{ host = 'a.test', path = 'x y' }"), &["a.test/"]);
        check(
            &routes("{ host = '*.a.test', path = '/x/' }, { path = '/y' }"),
            &["*.a.test/x", "/y"],
        );
        check(&routes("{ path = '/y', methods = ['GET', 'PUT'] }"), &["GET, PUT /y"]);
        for methods in ["[]", "['GE T']", "[7]", "'GET'"] {
            check(&routes(&format!("{{ path = '/y', methods = {methods} }}")), &["/y"]);
        }
    }

    #[test]
    fn an_app_without_routes_claims_all() {
        check("component = 'app.wasm'\nno-such = 1", &["/"]);
        check("component = 'app.wasm'\nno such", &[]);
        check("name = 'nothing'", &[]);
    }

    #[test]
    fn what_may_be_anybodys_is_left_to_others() {
        for route in [
            "{ host = 'a b' }",
            "{ host = 7 }",
            "{ path = 'x y' }",
            "{ path = 7 }",
            "7",
        ] {
            check(&format!("component = 'app.wasm'\nroutes = [{route}]"), &[]);
        }
        check("component = 'app.wasm'\nroutes = 7", &[]);
    }

    #[test]
    fn what_stands_before_and_after_a_slip_is_claimed() {
        check(
            "[[routes]]\nhost = 'a.test'\n[limits]\nmemory = = 7\n[[routes]]\nhost = 'b.test'\n",
            &["a.test/", "b.test/"],
        );
    }
}
