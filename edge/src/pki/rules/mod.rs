//! The rules of the lint: data, one line of reason each. Sources: RFC 5280, IEEE 802.1AR, RFC 4108.

mod body;
mod extensions;
mod subject;

use x509_parser::{der_parser::Oid, prelude::X509Extension};

use super::lint::{Rule, View};

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    [body::RULES, subject::RULES, extensions::RULES].into_iter().flatten()
}

/// The extensions with this object identifier.
fn extensions<'a>(view: &'a View<'_>, oid: Oid<'static>) -> impl Iterator<Item = &'a X509Extension<'a>> {
    view.tbs.extensions().iter().filter(move |extension| extension.oid == oid)
}

fn is_oid(oid: &Oid<'_>, arcs: &[u64]) -> bool {
    oid.iter().is_some_and(|found| found.eq(arcs.iter().copied()))
}
