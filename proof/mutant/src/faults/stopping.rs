//! Faults at the moment when the server stops, as far as they touch connections.

use std::time::Duration;

use socket2::SockRef;

use crate::connection::Connection;
use crate::fault::Fault;
use crate::hooks::Hooks;

/// What a fault does to the process before the drain begins.
pub(crate) fn at_stop(fault: Option<Fault>, connections: &mut [Option<Connection>]) {
    match fault {
        Some(Fault::ExitsAtOnce) => {
            for connection in connections.iter().flatten() {
                let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
            }
            std::process::exit(0);
        }
        Some(Fault::ResetsYoungAtStop) => {
            for slot in connections {
                let is_young = |it: &mut Connection| it.opened.elapsed() < Duration::from_secs(1);
                if let Some(connection) = slot.take_if(is_young) {
                    let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
                }
            }
        }
        Some(Fault::AbortsUnderLoad) if connections.iter().flatten().count() > 10 => {
            std::process::abort()
        }
        Some(_) | None => {}
    }
}

pub(super) struct GarbageAtStop;

impl Hooks for GarbageAtStop {
    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.fresh();
        connection.kept = fresh[..fresh.len() / 2].to_vec();
    }

    fn stopping(&mut self, connection: &mut Connection) {
        connection.pending.append(&mut connection.kept);
    }
}
