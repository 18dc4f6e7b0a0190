//! What lasts only while screens are open: what one shows the others at this moment, and who is at the desk.

mod attendance;
mod signals;

pub(crate) use self::{
    attendance::{Attendance, Attending},
    signals::{Sent, Shown, Signal, Signals},
};
