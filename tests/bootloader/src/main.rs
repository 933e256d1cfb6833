//! Disk images of a kernel with the `bootloader` crate: `bootloader-images KERNEL RAMDISK FOLDER WIDTH HEIGHT` writes
//! `bios.img` and `uefi.img`, with a screen of this size.

use std::{
    env,
    path::{Path, PathBuf},
};

use bootloader::{BootConfig, DiskImageBuilder};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kernel, ramdisk, folder, width, height] = &arguments[..] else {
        panic!("KERNEL RAMDISK FOLDER WIDTH HEIGHT");
    };
    let (folder, kernel) = (Path::new(folder), PathBuf::from(kernel));
    let mut config = BootConfig::default();
    config.frame_buffer.minimum_framebuffer_width = width.parse().ok();
    config.frame_buffer.minimum_framebuffer_height = height.parse().ok();
    let mut images = DiskImageBuilder::new(kernel);
    images.set_ramdisk(ramdisk.into());
    images.set_boot_config(&config);
    images
        .create_bios_image(&folder.join("bios.img"))
        .expect("the BIOS image");
    images
        .create_uefi_image(&folder.join("uefi.img"))
        .expect("the UEFI image");
}
