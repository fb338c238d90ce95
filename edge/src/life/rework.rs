//! Who may have a unit issued again: a person who decides on rework, and the station whose answer was lost.

use http::StatusCode;
use web::Problem;

use super::{
    Why,
    reissue::{Pass, reissue},
};
use crate::{
    access::Principal,
    csr::Csr,
    event::UnitIssued,
    http::{Shared, units::issued},
    issuance::{Outcome, unprocessable},
};

/// What somebody asks for, as far as it could be read.
#[derive(Debug)]
pub(crate) struct Rework {
    pub(crate) why: Why,
    pub(crate) reason: String,
    /// Without one the appliance makes the key.
    pub(crate) csr: Option<Csr>,
    pub(crate) station: Option<String>,
}

/// Gives the unit `id` a new certificate for a new key, or finds that it has it, or says why not.
pub(crate) async fn rework(
    floor: &Shared,
    principal: &Principal,
    id: &str,
    asked: Rework,
) -> Result<Outcome, Problem> {
    let Rework { why, reason, csr, station } = asked;
    let unit = super::unit(floor, principal, id)?;
    let id = &unit.id;
    if let Some(csr) = &csr
        && !csr.fits(id)
    {
        let name = csr.common_name.as_deref().unwrap_or_default();
        let detail = format!("the csr is for '{name}', the request for '{id}'; make the csr with CN={id}");
        return Err(unprocessable("csr-cn-differs", detail));
    }
    let (_, last) = issued(floor, &unit)?;
    if why == Why::ReplyLost && !is_issuer(principal, &last) {
        let detail = "only the station that issued this unit may say that the reply was lost; a supervisor may rework it";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let station = station.or_else(|| principal.station.clone()).or_else(|| last.station.clone());
    let (scope, actor) = (principal.scope(), principal.actor());
    reissue(floor, Pass { unit, last, why, reason, csr, station, scope, actor }).await
}

/// Whether it was this caller who asked for the pass: the same scope and, where stations are known, the same station.
fn is_issuer(principal: &Principal, last: &UnitIssued) -> bool {
    let station = principal.station.as_ref().is_none_or(|own| last.station.as_ref() == Some(own));
    last.scope == principal.scope() && station
}
