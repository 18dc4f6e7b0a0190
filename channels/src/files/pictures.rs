//! Pictures are decoded within limits and written anew, so that nothing of the file goes on but what it shows.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder, codecs::webp::WebPEncoder,
};

/// The most that a picture may measure, in pixels each way.
pub const LARGEST: u32 = 12_000;
/// The most memory that decoding one takes, in bytes.
const MEMORY: u64 = 256 << 20;
/// How good a photograph is kept, of 100.
const QUALITY: u8 = 90;
/// How good a small one is kept, of 100.
const SMALL_QUALITY: u8 = 85;
/// How wide and high a thumbnail is at the most, in pixels.
const THUMBNAIL: u32 = 320;
/// The media types that are read here.
pub const TYPES: &[&str] = &["image/jpeg", "image/png", "image/webp"];

/// A picture as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What it is.
    pub media_type: &'static str,
    /// How its name ends.
    pub extension: &'static str,
    /// Its file.
    pub bytes: Vec<u8>,
    /// How wide it is, in pixels.
    pub width: u32,
    /// How high it is, in pixels.
    pub height: u32,
}

/// What a file shows, upright.
///
/// # Errors
/// Why it is no picture that can be read: in a sentence's middle.
pub fn decode(file: &[u8]) -> Result<DynamicImage, String> {
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST), Some(LARGEST));
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    // A camera that was held upright says so beside the picture.
    let orientation = decoder.orientation().map_err(|error| error.to_string())?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// A small picture as a file: a photograph as JPEG, what is transparent somewhere as PNG.
///
/// # Errors
/// Why it cannot be written.
pub fn encode(picture: DynamicImage) -> Result<Picture, String> {
    let (width, height) = (picture.width(), picture.height());
    let mut bytes = Vec::new();
    let (media_type, extension, written) = if picture.color().has_alpha() {
        let picture = DynamicImage::from(picture.into_rgba8());
        ("image/png", "png", picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png))
    } else {
        ("image/jpeg", "jpg", jpeg(picture, SMALL_QUALITY, &mut bytes))
    };
    written.map_err(|error| error.to_string())?;
    Ok(Picture { media_type, extension, bytes, width, height })
}

fn jpeg(picture: DynamicImage, quality: u8, bytes: &mut Vec<u8>) -> image::ImageResult<()> {
    picture.into_rgb8().write_with_encoder(JpegEncoder::new_with_quality(bytes, quality))
}

/// A picture of one of [`TYPES`] as it is kept, and a small one of it. JPEG and PNG remain what they are; WebP remains where
/// it is transparent somewhere, since nothing here writes it smaller than JPEG otherwise.
///
/// # Errors
/// Why it is no picture that can be read: in a sentence's middle.
pub fn rewrite(file: &[u8], media_type: &str) -> Result<(Picture, Picture), String> {
    let picture = decode(file)?;
    let small = match picture.width().max(picture.height()) <= THUMBNAIL {
        true => picture.clone(),
        false => picture.thumbnail(THUMBNAIL, THUMBNAIL),
    };
    let small = encode(small)?;
    let (width, height) = (picture.width(), picture.height());
    let mut bytes = Vec::new();
    let (media_type, extension, written) = match (media_type, picture.color().has_alpha()) {
        ("image/png", _) => ("image/png", "png", picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)),
        ("image/webp", true) => {
            let picture = DynamicImage::from(picture.into_rgba8());
            ("image/webp", "webp", picture.write_with_encoder(WebPEncoder::new_lossless(&mut bytes)))
        }
        _ => ("image/jpeg", "jpg", jpeg(picture, QUALITY, &mut bytes)),
    };
    written.map_err(|error| error.to_string())?;
    Ok((Picture { media_type, extension, bytes, width, height }, small))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    #[test]
    fn a_picture_is_written_anew_and_has_a_small_one() {
        for (picture, format, media_type, kept) in [
            (DynamicImage::new_rgb8(900, 300), ImageFormat::Png, "image/png", "image/png"),
            (DynamicImage::new_rgba16(20, 20), ImageFormat::Png, "image/png", "image/png"),
            (DynamicImage::new_rgb8(300, 900), ImageFormat::Jpeg, "image/jpeg", "image/jpeg"),
            (DynamicImage::new_luma8(64, 64), ImageFormat::Jpeg, "image/jpeg", "image/jpeg"),
            (DynamicImage::new_rgb8(64, 64), ImageFormat::WebP, "image/webp", "image/jpeg"),
            (DynamicImage::new_rgba8(64, 64), ImageFormat::WebP, "image/webp", "image/webp"),
        ] {
            let mut file = sent(&picture, format);
            // What stands behind the picture is of another trade.
            file.extend_from_slice(b"<script>alert(1)</script>PK\x03\x04");
            let (made, small) = rewrite(&file, media_type).unwrap();
            assert_eq!((made.media_type, made.width, made.height), (kept, picture.width(), picture.height()));
            assert!(!made.bytes.windows(7).any(|bytes| bytes == b"<script"), "{media_type}");
            let again = decode(&made.bytes).unwrap();
            assert_eq!((again.width(), again.height()), (picture.width(), picture.height()));
            let again = decode(&small.bytes).unwrap();
            assert!(again.width() <= THUMBNAIL && again.height() <= THUMBNAIL);
            assert_eq!((again.width(), again.height()), (small.width, small.height));
        }
    }

    #[test]
    fn what_unfolds_to_gigabytes_is_refused() {
        let mut huge = sent(&DynamicImage::new_rgb8(8, 8), ImageFormat::Png);
        huge[16..20].copy_from_slice(&50_000u32.to_be_bytes());
        assert!(rewrite(&huge, "image/png").is_err());
        let mut large = sent(&DynamicImage::new_rgba8(8, 8), ImageFormat::Png);
        large[16..20].copy_from_slice(&11_999u32.to_be_bytes());
        large[20..24].copy_from_slice(&11_999u32.to_be_bytes());
        assert!(rewrite(&large, "image/png").is_err());
        assert!(rewrite(b"", "image/png").is_err());
        assert!(rewrite(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png").is_err());
    }
}
