//! `close_all` asks twice which object an entry of its list is, and a guard at each step: the answer must be the
//! same each time.

use std::cell::Cell;

use rundown::{HostPlatform, Plain, PlainRundown, Reach, Rundown};

type Object = Rundown<Plain<HostPlatform>>;

#[derive(Clone)]
struct Flip<'a>(&'a Object, &'a Object, Cell<bool>);

impl Reach for Flip<'_> {
    type Variant = Plain<HostPlatform>;

    fn rundown(&self) -> &Object {
        if self.2.replace(true) { self.1 } else { self.0 }
    }
}

fn main() {
    let (a, b) = (PlainRundown::new(), PlainRundown::new());
    let _ = Object::close_all(&mut [Flip(&a, &b, Cell::new(false))]);
}
