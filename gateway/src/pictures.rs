//! Pictures of people: whatever is sent is decoded, cut to a small square and written anew, so that nothing of the file goes on.

use channels::files::pictures;
use domain::{Id, org::user::User};
use image::imageops::FilterType;
use sqlx::Row;

use crate::{app::App, problem::Problem};

/// How wide and high a picture is kept, in pixels.
const SIDE: u32 = 256;
/// A picture as it is served.
pub(crate) struct Picture {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// A small square of whatever picture this is: a photograph as JPEG, what is transparent somewhere as PNG.
fn square(file: &[u8]) -> Result<Picture, String> {
    let picture = pictures::decode(file)?;
    // Cut before it is made larger or smaller: a line of pixels would grow to a picture of gigabytes.
    let side = picture.width().min(picture.height());
    let (left, top) = ((picture.width() - side) / 2, (picture.height() - side) / 2);
    let picture = picture.crop_imm(left, top, side, side).resize_exact(SIDE, SIDE, FilterType::Lanczos3);
    let pictures::Picture { media_type, bytes, .. } = pictures::encode(picture)?;
    Ok(Picture { media_type: media_type.to_owned(), bytes })
}

/// The first letters of a name in a colour of the user's own, for whoever has no picture.
pub(crate) fn initials(id: Id, name: &str) -> String {
    let letters: String = name
        .split(|c: char| c.is_whitespace() || c == '-')
        .filter_map(|word| word.chars().find(|c| c.is_alphanumeric()))
        .take(2)
        .flat_map(char::to_uppercase)
        .collect();
    let hue = id.to_string().bytes().fold(0u32, |hue, byte| (hue * 31 + u32::from(byte)) % 360);
    // Dark enough for white letters in every hue.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><rect width=\"64\" height=\"64\" \
         fill=\"hsl({hue} 45% 32%)\"/><text x=\"32\" y=\"33\" fill=\"#fff\" font-family=\"system-ui, sans-serif\" \
         font-size=\"26\" font-weight=\"600\" text-anchor=\"middle\" dominant-baseline=\"central\">{letters}</text></svg>"
    )
}

impl App {
    /// Keeps a picture that a user has sent; under which id.
    ///
    /// # Errors
    /// When it is no picture that can be read.
    pub(crate) async fn keep_picture(&self, tenant: Id, user: Id, file: bytes::Bytes) -> Result<Id, Problem> {
        let made = tokio::task::spawn_blocking(move || square(&file)).await.map_err(|error| Problem::broken(&error))?;
        let Picture { media_type, bytes } = made.map_err(|error| {
            Problem::invalid("picture_unreadable", format!("This is no picture in JPEG, PNG or WebP: {error}."))
        })?;
        let id = self.new_id();
        sqlx::query("insert into auth_picture values ($1, $2, $3, $4, $5, now())")
            .bind(tenant.to_string())
            .bind(id.to_string())
            .bind(user.to_string())
            .bind(media_type)
            .bind(bytes)
            .execute(&self.pool)
            .await?;
        Ok(id)
    }

    /// Deletes the pictures of a user that are not the one in force.
    pub(crate) async fn forget_other_pictures(&self, tenant: Id, user: Id) -> Result<(), Problem> {
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        sqlx::query(
            "delete from auth_picture where tenant_id = $1 and user_id = $2 and picture_id is distinct from $3",
        )
        .bind(tenant.to_string())
        .bind(user.to_string())
        .bind(state.picture.map(|picture| picture.to_string()))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The picture of this id.
    pub(crate) async fn picture(&self, tenant: Id, id: Id) -> Result<Option<Picture>, Problem> {
        let found = sqlx::query("select media_type, bytes from auth_picture where tenant_id = $1 and picture_id = $2")
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = found else { return Ok(None) };
        Ok(Some(Picture { media_type: row.try_get("media_type")?, bytes: row.try_get("bytes")? }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat};

    use super::*;

    fn sent(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    #[test]
    fn a_picture_is_cut_to_a_small_square_and_what_is_none_is_refused() {
        for (picture, format, media_type) in [
            (DynamicImage::new_rgb8(900, 300), ImageFormat::Png, "image/jpeg"),
            (DynamicImage::new_rgb8(300, 900), ImageFormat::Jpeg, "image/jpeg"),
            (DynamicImage::new_rgba8(20, 20), ImageFormat::Png, "image/png"),
            (DynamicImage::new_rgb16(64, 64), ImageFormat::Png, "image/jpeg"),
            (DynamicImage::new_luma8(64, 64), ImageFormat::Png, "image/jpeg"),
            (DynamicImage::new_luma_a16(64, 64), ImageFormat::Png, "image/png"),
        ] {
            let made = square(&sent(&picture, format)).unwrap();
            assert_eq!(made.media_type, media_type);
            let again = image::load_from_memory(&made.bytes).unwrap();
            assert_eq!((again.width(), again.height()), (SIDE, SIDE));
        }
        assert!(square(b"<svg xmlns='http://www.w3.org/2000/svg'/>").is_err());
        assert!(square(b"").is_err());
        let mut cut = sent(&DynamicImage::new_rgb8(300, 300), ImageFormat::Png);
        cut.truncate(60);
        assert!(square(&cut).is_err());
        // A file may be small and what it unfolds to not: the width stands in its first bytes.
        let mut huge = sent(&DynamicImage::new_rgb8(8, 8), ImageFormat::Png);
        huge[16..20].copy_from_slice(&50_000u32.to_be_bytes());
        assert!(square(&huge).is_err());
    }

    #[test]
    fn initials_are_letters_and_nothing_else() {
        let of = |name| initials(Id::from_bits(7), name).split("central\">").nth(1).unwrap().to_owned();
        assert_eq!(of("Anna Maria Bianchi"), "AM</text></svg>");
        assert_eq!(of("<script> \"&"), "S</text></svg>");
        assert_eq!(of("Žofie černá"), "ŽČ</text></svg>");
        assert_eq!(of(""), "</text></svg>");
    }
}
