//! Servers that listen on more than TCP: how they are asked to, and how their clients find them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use report::{Failure, FailureKind};

use super::{Launcher, Server, Start};
use crate::datagrams::Datagrams;
use crate::peer::Peer;
use crate::scratch::Scratch;
use crate::transport::{Place, Transport};

impl Launcher {
    /// Where Unix paths can be, and nobody else's are.
    ///
    /// # Errors
    /// `harness` when there is no room for temporary files.
    pub fn folder(&self) -> Result<&Path, Failure> {
        if let Some(scratch) = self.scratch.get() {
            return Ok(scratch.path());
        }
        let made = Scratch::new().map_err(|e| {
            Failure::new(FailureKind::Harness, "to make a folder for Unix paths", e.to_string())
        })?;
        Ok(self.scratch.get_or_init(|| made).path())
    }

    /// A start with a listener of this kind beside a TCP port, or with that port alone.
    ///
    /// # Errors
    /// As [`Launcher::folder`].
    pub fn over(&self, transport: Transport) -> Result<Start, Failure> {
        self.over_path(transport, transport.kind())
    }

    /// As [`Launcher::over`], to find out whether a server offers this kind of listener: a path
    /// that it leaves behind is in nobody's way.
    ///
    /// # Errors
    /// As [`Launcher::folder`].
    pub fn asking_for(&self, transport: Transport) -> Result<Start, Failure> {
        self.over_path(transport, "asked")
    }

    fn over_path(&self, transport: Transport, name: &str) -> Result<Start, Failure> {
        let mut start = Start::default();
        match transport {
            Transport::Tcp => {}
            Transport::Udp => start.listen.push("udp:127.0.0.1:0".to_owned()),
            Transport::Unix | Transport::Unixgram => {
                let path = self.folder()?.join(name);
                start.listen.push(format!("{}:{}", transport.kind(), path.display()));
            }
        }
        Ok(start)
    }

    /// The Unix path that [`Launcher::over`] asks a server to listen at.
    ///
    /// # Errors
    /// As [`Launcher::folder`].
    pub fn path(&self, transport: Transport) -> Result<PathBuf, Failure> {
        Ok(self.folder()?.join(transport.kind()))
    }

    /// Where a started server announced its first listener of this kind.
    ///
    /// # Errors
    /// `announcement` when there is none.
    pub fn place(&self, transport: Transport, server: &Server) -> Result<Place, Failure> {
        let ready = server.ready()?;
        let wrong = |expected: String| {
            Failure::new(FailureKind::Announcement, expected, format!("{:?}", ready.listeners))
        };
        let kind = transport.kind();
        match transport {
            Transport::Tcp | Transport::Udp => {
                let addresses = ready.addresses(kind).map_err(wrong)?;
                let first = addresses.first();
                first
                    .map(|address| Place::Ip(*address))
                    .ok_or_else(|| wrong(format!("a {kind} address")))
            }
            Transport::Unix | Transport::Unixgram => ready
                .paths(kind)
                .next()
                .map(|path| Place::Path(path.to_owned()))
                .ok_or_else(|| wrong(format!("a {kind} path"))),
        }
    }

    /// A started server as a client sees it that connects to a listener of this kind.
    ///
    /// # Errors
    /// As [`Launcher::place`].
    pub fn peer_over(&self, transport: Transport, server: &Server) -> Result<Peer, Failure> {
        match transport {
            Transport::Tcp => self.peer(server),
            Transport::Udp | Transport::Unix | Transport::Unixgram => {
                Ok(Peer::at(self.place(transport, server)?, Arc::clone(&self.context)))
            }
        }
    }

    /// A started server as a client sees it that sends datagrams to a listener of this kind.
    ///
    /// # Errors
    /// As [`Launcher::place`].
    pub fn datagrams(&self, transport: Transport, server: &Server) -> Result<Datagrams, Failure> {
        let place = self.place(transport, server)?;
        let folder = match place {
            Place::Path(_) => self.folder()?.to_owned(),
            Place::Ip(_) => PathBuf::new(),
        };
        Ok(Datagrams::new(place, folder, Arc::clone(&self.context)))
    }
}
