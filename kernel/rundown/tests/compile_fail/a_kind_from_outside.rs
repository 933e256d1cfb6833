use rundown::Rundown;

struct Mine;

impl Rundown for Mine {}

fn main() {}
