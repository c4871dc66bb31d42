/*
 * Wrapping keys under the fleet's key-encryption keys.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/memory.h"
#include "x509_private.h"

enum { KEY_LEN = 32, NONCE_LEN = 12, TAG_LEN = 16, FORMAT = 1 };

struct kek {
    char id[EW_MAX_KEK_ID + 1];
    uint8_t key[KEY_LEN];
};

struct ew_keks {
    struct kek keks[EW_MAX_KEKS];
    size_t count;
};

/* --- the file --- */

static enum ew_fault
bad_file(struct ew_err *err, const char *path, const char *what)
{
    return ew_fail_field(err, EW_HALT, "kek-file", "kek_file",
                         "One key per line, `id:base64 of 32 random bytes`, the one that wraps "
                         "first; `openssl rand -base64 32` makes one.",
                         "%s: %s", path, what);
}

static bool
good_id(const char *id)
{
    size_t len = strlen(id);

    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)id[i]) && strchr("._-", id[i]) == NULL)
            return false;
    return len >= 1 && len <= EW_MAX_KEK_ID;
}

static const struct kek *
find(const struct ew_keks *keks, const char *id)
{
    for (size_t i = 0; keks != NULL && i < keks->count; i++)
        if (strcmp(keks->keks[i].id, id) == 0)
            return &keks->keks[i];
    return NULL;
}

static const char *
read_line(struct ew_keks *keks, char *line)
{
    struct kek *kek = &keks->keks[keks->count];
    char *colon = strchr(line, ':');
    const char *problem = NULL;
    struct ew_buf key;

    if (line[0] == '\0' || line[0] == '#')
        return NULL;
    if (keks->count == EW_MAX_KEKS)
        return "more than 16 keys";
    if (colon == NULL)
        return "a line without a colon";
    *colon = '\0';
    if (!good_id(line) || find(keks, line) != NULL)
        return "an id that is not 1-16 of [A-Za-z0-9._-], or is there twice";
    ew_buf_init_secret(&key, 64);
    if (ew_base64_decode(colon + 1, strlen(colon + 1), &key) != EW_OK || key.len != KEY_LEN) {
        problem = "a key that is not base64 of 32 bytes";
    } else {
        (void)snprintf(kek->id, sizeof(kek->id), "%s", line);
        memcpy(kek->key, key.data, KEY_LEN);
        keks->count++;
    }
    ew_buf_deinit(&key);
    return problem;
}

static enum ew_fault
read_file(const char *path, struct ew_keks *keks, struct ew_err *err)
{
    FILE *file = fopen(path, "re");
    char line[EW_MAX_KEK_LINE + 1];
    struct stat st;
    const char *problem = NULL;

    if (file == NULL)
        return bad_file(err, path, strerror(errno));
    if (fstat(fileno(file), &st) != 0 || st.st_size > EW_MAX_KEK_FILE)
        problem = "it is larger than 16 KiB";
    else if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        problem = "others may read or write it; take their rights away";
    (void)setvbuf(file, NULL, _IONBF, 0); /* no copy of a secret in a buffer of the C library */
    while (problem == NULL && fgets(line, sizeof(line), file) != NULL) {
        bool whole = strchr(line, '\n') != NULL || feof(file) != 0;

        line[strcspn(line, "\r\n")] = '\0';
        problem = whole ? read_line(keks, line) : "a line longer than 255 characters";
    }
    OPENSSL_cleanse(line, sizeof(line));
    (void)fclose(file);
    if (problem == NULL && keks->count == 0)
        problem = "it holds no key";
    return problem == NULL ? EW_OK : bad_file(err, path, problem);
}

enum ew_fault
ew_keks_load(const char *path, struct ew_keks **out, struct ew_err *err)
{
    struct ew_keks *keks = ew_calloc(1, sizeof(*keks));
    enum ew_fault fault;

    fault = read_file(path, keks, err);
    if (fault != EW_OK)
        ew_keks_free(keks);
    else
        *out = keks;
    return fault;
}

void
ew_keks_free(struct ew_keks *keks)
{
    if (keks == NULL)
        return;
    OPENSSL_cleanse(keks, sizeof(*keks));
    free(keks);
}

/* --- sealing and opening --- */

static bool
encrypt(const struct kek *kek, const uint8_t *nonce, const void *aad, size_t aad_len,
        const uint8_t *plain, size_t len, uint8_t *cipher, uint8_t *tag)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int done = 0;
    bool good = ctx != NULL &&
                EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, kek->key, nonce) == 1 &&
                EVP_EncryptUpdate(ctx, NULL, &done, aad, (int)aad_len) == 1 &&
                EVP_EncryptUpdate(ctx, cipher, &done, plain, (int)len) == 1 &&
                EVP_EncryptFinal_ex(ctx, cipher + done, &done) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, tag) == 1;

    EVP_CIPHER_CTX_free(ctx);
    return good;
}

/* EW_REJECT: it is not what was wrapped. EW_RETRY: that could not be found out. */
static enum ew_fault
decrypt(const struct kek *kek, const uint8_t *nonce, const void *aad, size_t aad_len,
        const uint8_t *cipher, size_t len, uint8_t *plain, const uint8_t *tag)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    enum ew_fault fault = EW_OK;
    int done = 0;
    bool read =
        ctx != NULL && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, kek->key, nonce) == 1 &&
        EVP_DecryptUpdate(ctx, NULL, &done, aad, (int)aad_len) == 1 &&
        EVP_DecryptUpdate(ctx, plain, &done, cipher, (int)len) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, (void *)(uintptr_t)tag) == 1;

    if (!read)
        fault = EW_RETRY;
    else if (EVP_DecryptFinal_ex(ctx, plain + done, &done) != 1)
        fault = EW_REJECT;
    EVP_CIPHER_CTX_free(ctx);
    return fault;
}

enum ew_fault
ew_key_wrap(const struct ew_key *key, const struct ew_keks *keks, const void *aad, size_t aad_len,
            struct ew_buf *out, struct ew_err *err)
{
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key->pkey);
    const struct kek *kek = &keks->keks[0];
    unsigned char *plain = NULL;
    uint8_t nonce[NONCE_LEN], tag[TAG_LEN], cipher[EW_MAX_PRIVATE_KEY];
    int len = p8 == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(p8, &plain);
    enum ew_fault fault = EW_OK;

    ew_random_bytes(nonce, sizeof(nonce));
    if (len <= 0 || len > EW_MAX_PRIVATE_KEY ||
        !encrypt(kek, nonce, aad, aad_len, plain, (size_t)len, cipher, tag)) {
        fault = ew_openssl_fail(err, EW_RETRY, "key-wrapping", "wrapping a key");
    } else {
        ew_buf_putc(out, FORMAT);
        ew_buf_putc(out, (char)strlen(kek->id));
        ew_buf_puts(out, kek->id);
        ew_buf_put(out, nonce, sizeof(nonce));
        ew_buf_put(out, tag, sizeof(tag));
        ew_buf_put(out, cipher, (size_t)len);
        fault = ew_written(out, err);
    }
    if (plain != NULL && len > 0)
        OPENSSL_clear_free(plain, (size_t)len);
    PKCS8_PRIV_KEY_INFO_free(p8);
    return fault;
}

static enum ew_fault
open_plain(const uint8_t *plain, size_t len, struct ew_key **out, struct ew_err *err)
{
    const unsigned char *at = plain;
    PKCS8_PRIV_KEY_INFO *p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)len);
    struct ew_key *key = ew_calloc(1, sizeof(*key));

    if (p8 != NULL && at == plain + len)
        key->pkey = EVP_PKCS82PKEY(p8);
    PKCS8_PRIV_KEY_INFO_free(p8);
    if (key->pkey == NULL) {
        free(key);
        return ew_openssl_fail(err, EW_REJECT, "wrapped-key", "a wrapped key holds no key");
    }
    *out = key;
    return EW_OK;
}

static const char PUT_BACK[] = "Put the line of the old key back into kek_file, below the first, "
                               "and restart; what waits for it "
                               "goes on by itself.";

/* Or not what was wrapped: who cannot tell these apart must not call it lost. */
static enum ew_fault
not_the_one(struct ew_err *err, const char *id)
{
    ERR_clear_error();
    return ew_fail_field(err, EW_HALT, "kek-wrong", "kek_file", PUT_BACK,
                         "key-encryption key %s does not open what was wrapped under this name",
                         id);
}

enum ew_fault
ew_key_unwrap(const void *data, size_t len, const struct ew_keks *keks, const void *aad,
              size_t aad_len, struct ew_key **out, struct ew_err *err)
{
    const uint8_t *at = data;
    size_t id_len = len > 2 ? at[1] : 0, head = 2 + id_len + NONCE_LEN + TAG_LEN;
    uint8_t plain[EW_MAX_PRIVATE_KEY];
    const struct kek *kek;
    char id[EW_MAX_KEK_ID + 1] = "";
    enum ew_fault fault;

    if (len < 3 || at[0] != FORMAT || id_len == 0 || id_len > EW_MAX_KEK_ID || len <= head ||
        len - head > EW_MAX_PRIVATE_KEY)
        return ew_fail(err, EW_REJECT, "wrapped-key", "not a wrapped key of this format");
    memcpy(id, at + 2, id_len);
    kek = find(keks, id);
    if (kek == NULL)
        return ew_fail_field(err, EW_HALT, "kek-missing", "kek_file", PUT_BACK,
                             "no key-encryption key %s", id);
    fault = decrypt(kek, at + 2 + id_len, aad, aad_len, at + head, len - head, plain,
                    at + 2 + id_len + NONCE_LEN);
    if (fault == EW_REJECT)
        fault = not_the_one(err, id);
    else if (fault != EW_OK)
        fault = ew_openssl_fail(err, fault, "wrapped-key", "opening a wrapped key");
    else
        fault = open_plain(plain, len - head, out, err);
    OPENSSL_cleanse(plain, sizeof(plain));
    return fault;
}
