//! From which country an address is, by a MaxMind file where one is given.

use std::{net::IpAddr, path::Path};

use domain::Country;
use maxminddb::{Reader, path};

use crate::StartError;

/// What is known of addresses; nothing without a file.
pub(crate) struct Countries(Option<Reader<Vec<u8>>>);

impl Countries {
    /// Reads the file, if there is to be one.
    pub(crate) fn open(file: Option<&Path>) -> Result<Countries, StartError> {
        let Some(file) = file else { return Ok(Countries(None)) };
        let reader = Reader::open_readfile(file);
        reader.map(Some).map(Countries).map_err(|error| {
            StartError::Io(file.display().to_string(), std::io::Error::other(format!("no MaxMind file: {error}")))
        })
    }

    /// The code of the country that an address is from; of where it is registered, where nothing better is known.
    pub(crate) fn of(&self, address: IpAddr) -> Option<String> {
        let found = self.0.as_ref()?.lookup(address.to_canonical()).ok()?;
        let country = found.decode_path::<&str>(&path!["country", "iso_code"]).ok().flatten();
        let registered = || found.decode_path::<&str>(&path!["registered_country", "iso_code"]).ok().flatten();
        let code = country.or_else(registered)?.to_ascii_uppercase();
        code.parse::<Country>().is_ok().then_some(code)
    }
}
