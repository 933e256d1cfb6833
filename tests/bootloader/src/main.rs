//! Disk images of a kernel with the `bootloader` crate: `bootloader-images KERNEL RAMDISK FOLDER`
//! writes `bios.img` and `uefi.img`.

use std::{env, path::PathBuf};

use bootloader::DiskImageBuilder;

fn main() {
    let [kernel, ramdisk, folder] = env::args_os()
        .skip(1)
        .map(PathBuf::from)
        .collect::<Vec<_>>()
        .try_into()
        .expect("KERNEL RAMDISK FOLDER");
    let mut images = DiskImageBuilder::new(kernel);
    images.set_ramdisk(ramdisk);
    images.create_bios_image(&folder.join("bios.img")).expect("the BIOS image");
    images.create_uefi_image(&folder.join("uefi.img")).expect("the UEFI image");
}
