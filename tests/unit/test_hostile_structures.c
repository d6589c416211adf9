/*
 * Captures built as none of ours is, to do harm: each differs from a right one in one
 * way that HDF5 allows, with the hash in front mended. Their values: hostile_captures.
 */
#include "tests/support/hostile.h"

static hid_t make(hid_t file, const char *path, int rank, const hsize_t *shape,
                  hid_t how)
{
    const hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t set;

    H5Ldelete(file, path, H5P_DEFAULT);
    set = H5Dcreate2(file, path, H5T_IEEE_F64LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
    H5Sclose(space);
    return set;
}

static void array_attribute(hid_t file)
{
    const hsize_t n = 1000;
    const hid_t group = H5Gopen2(file, "/provenance", H5P_DEFAULT);
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &n, NULL);

    H5Tset_size(type, 60);
    H5Adelete(group, "model_sha256");
    H5Aclose(H5Acreate2(group, "model_sha256", type, space, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    H5Tclose(type);
    H5Gclose(group);
}

static const hsize_t norms_shape[] = {3, N, 4, 3};

static void external_storage(hid_t file)
{
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_external(how, "/etc/passwd", 0, 3 * N * 4 * 3 * 8);
    H5Dclose(make(file, "/norms/q", 4, norms_shape, how));
    H5Pclose(how);
}

static void external_link(hid_t file)
{
    H5Ldelete(file, "/norms/q", H5P_DEFAULT);
    H5Lcreate_external("/tmp/fifo", "/x", file, "/norms/q", H5P_DEFAULT, H5P_DEFAULT);
}

static void soft_link(hid_t file)
{
    H5Ldelete(file, "/norms/q", H5P_DEFAULT);
    H5Lcreate_soft("/norms/k", file, "/norms/q", H5P_DEFAULT, H5P_DEFAULT);
}

static void group_in_itself(hid_t file)
{
    H5Lcreate_hard(file, "/norms", file, "/norms/again", H5P_DEFAULT, H5P_DEFAULT);
}

static void values_without_storage(hid_t file)
{
    const hsize_t shape[] = {1 << 15, 1 << 15}, chunk[] = {1, 1 << 15};
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(how, 2, chunk);
    H5Dclose(make(file, "/norms/q", 2, shape, how));
    H5Pclose(how);
}

static void contiguous_without_storage(hid_t file)
{
    const hsize_t n = 1 << 30;

    H5Dclose(make(file, "/sequences/nll", 1, &n, H5P_DEFAULT));
}

static void large_chunks(hid_t file)
{
    const hsize_t shape[] = {2, 1 << 19}, chunk[] = {1, 1 << 19};
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    double *zero = calloc(2 << 19, sizeof *zero);
    hid_t set;

    assert_non_null(zero);
    H5Pset_chunk(how, 2, chunk);
    H5Pset_deflate(how, 9);
    set = make(file, "/norms/q", 2, shape, how);
    H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, zero);
    H5Dclose(set);
    H5Pclose(how);
    free(zero);
}

static void other_type(hid_t file)
{
    const hid_t type = H5Tcopy(H5T_C_S1);

    H5Tcommit2(file, "/norms/type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
}

/* /norms/q of another type, or as `how` says; nothing is written. */
static void make_of(hid_t file, hid_t type, hid_t space, hid_t how)
{
    hid_t set;

    H5Ldelete(file, "/norms/q", H5P_DEFAULT);
    set = H5Dcreate2(file, "/norms/q", type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    assert_true(set >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static hid_t pair_type(void)
{
    const hid_t pair = H5Tcreate(H5T_COMPOUND, 16);

    H5Tinsert(pair, "a", 0, H5T_IEEE_F64LE);
    H5Tinsert(pair, "b", 8, H5T_IEEE_F64LE);
    return pair;
}

static void compound(hid_t file)
{
    const hid_t pair = pair_type();

    make_of(file, pair, H5Screate_simple(4, norms_shape, NULL), H5P_DEFAULT);
    H5Tclose(pair);
}

static void text_of_any_length(hid_t file)
{
    const char *text = "a long way off";
    const hid_t type = H5Tcopy(H5T_C_S1);
    hid_t set;

    H5Tset_size(type, H5T_VARIABLE);
    make_of(file, type, H5Screate(H5S_SCALAR), H5P_DEFAULT);
    set = H5Dopen2(file, "/norms/q", H5P_DEFAULT);
    assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text) >= 0);
    H5Dclose(set);
    H5Tclose(type);
}

static void rows_of_any_length(hid_t file)
{
    const hid_t type = H5Tvlen_create(H5T_IEEE_F64LE);

    make_of(file, type, H5Screate_simple(4, norms_shape, NULL), H5P_DEFAULT);
    H5Tclose(type);
}

static void references(hid_t file)
{
    make_of(file, H5T_STD_REF_OBJ, H5Screate_simple(4, norms_shape, NULL), H5P_DEFAULT);
}

static void region_references(hid_t file)
{
    make_of(file, H5T_STD_REF_DSETREG, H5Screate_simple(4, norms_shape, NULL),
            H5P_DEFAULT);
}

static void arrays(hid_t file)
{
    const hsize_t n = 3;
    const hid_t type = H5Tarray_create2(H5T_IEEE_F64LE, 1, &n);

    make_of(file, type, H5Screate_simple(3, norms_shape, NULL), H5P_DEFAULT);
    H5Tclose(type);
}

static void opaque(hid_t file)
{
    const hid_t type = H5Tcreate(H5T_OPAQUE, 8);

    make_of(file, type, H5Screate_simple(4, norms_shape, NULL), H5P_DEFAULT);
    H5Tclose(type);
}

static void enumeration(hid_t file)
{
    const hid_t type = H5Tenum_create(H5T_STD_I32LE);
    const int32_t one = 1;

    H5Tenum_insert(type, "one", &one);
    make_of(file, type, H5Screate_simple(4, norms_shape, NULL), H5P_DEFAULT);
    H5Tclose(type);
}

static void big_endian(hid_t file)
{
    make_of(file, H5T_IEEE_F64BE, H5Screate_simple(4, norms_shape, NULL), H5P_DEFAULT);
}

/* The right type, but kept elsewhere in the file under no name. */
static void shared_type(hid_t file)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F64LE);

    H5Tcommit2(file, "/type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    make_of(file, type, H5Screate_simple(4, norms_shape, NULL), H5P_DEFAULT);
    H5Ldelete(file, "/type", H5P_DEFAULT);
    H5Tclose(type);
}

static void nothing_at_all(hid_t file)
{
    make_of(file, H5T_IEEE_F64LE, H5Screate(H5S_NULL), H5P_DEFAULT);
}

static void without_end(hid_t file)
{
    const hsize_t most[] = {H5S_UNLIMITED, N, 4, 3};
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(how, 4, norms_shape);
    make_of(file, H5T_IEEE_F64LE, H5Screate_simple(4, norms_shape, most), how);
    H5Pclose(how);
}

static void in_the_header(hid_t file)
{
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_layout(how, H5D_COMPACT);
    make_of(file, H5T_IEEE_F64LE, H5Screate_simple(4, norms_shape, NULL), how);
    H5Pclose(how);
}

static void other_filter(hid_t file)
{
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(how, 4, norms_shape);
    H5Pset_nbit(how);
    make_of(file, H5T_IEEE_F64LE, H5Screate_simple(4, norms_shape, NULL), how);
    H5Pclose(how);
}

static void virtual_dataset(hid_t file)
{
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t space = H5Screate_simple(4, norms_shape, NULL);

    H5Pset_virtual(how, space, "/etc/passwd", "/x", space);
    make_of(file, H5T_IEEE_F64LE, space, how);
    H5Pclose(how);
}

static void virtual_of_itself(hid_t file)
{
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t space = H5Screate_simple(4, norms_shape, NULL);

    H5Pset_virtual(how, space, ".", "/norms/q", space);
    make_of(file, H5T_IEEE_F64LE, space, how);
    H5Pclose(how);
}

static void soft_links_in_a_ring(hid_t file)
{
    H5Ldelete(file, "/norms/q", H5P_DEFAULT);
    H5Lcreate_soft("/norms/r", file, "/norms/q", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/norms/q", file, "/norms/r", H5P_DEFAULT, H5P_DEFAULT);
}

static void soft_link_to_nowhere(hid_t file)
{
    H5Ldelete(file, "/norms", H5P_DEFAULT);
    H5Lcreate_soft("/nowhere", file, "/norms", H5P_DEFAULT, H5P_DEFAULT);
}

static hid_t follow(const char *name, hid_t group, const void *data, size_t n,
                    hid_t how, hid_t transfer)
{
    (void)name, (void)group, (void)data, (void)n, (void)how, (void)transfer;
    return -1;
}

static void link_of_a_users_kind(hid_t file)
{
    const H5L_class_t kind = {.version = H5L_LINK_CLASS_T_VERS,
                              .id = H5L_TYPE_UD_MIN + 7,
                              .comment = "ours",
                              .trav_func = follow};

    H5Ldelete(file, "/norms/q", H5P_DEFAULT);
    assert_true(H5Lregister(&kind) >= 0);
    H5Lcreate_ud(file, "/norms/q", kind.id, "data", 4, H5P_DEFAULT, H5P_DEFAULT);
    H5Lunregister(kind.id);
}

/* An attribute of /provenance in place of the one text that belongs there. */
static void attribute_of(hid_t file, hid_t type, const void *value)
{
    const hid_t group = H5Gopen2(file, "/provenance", H5P_DEFAULT);
    const hid_t space = H5Screate(H5S_SCALAR);
    hid_t a;

    H5Adelete(group, "model_sha256");
    a = H5Acreate2(group, "model_sha256", type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(a, type, value) >= 0);
    H5Aclose(a);
    H5Sclose(space);
    H5Gclose(group);
}

static void attribute_of_any_length(hid_t file)
{
    const char *text = "a long way off";
    const hid_t type = H5Tcopy(H5T_C_S1);

    H5Tset_size(type, H5T_VARIABLE);
    attribute_of(file, type, &text);
    H5Tclose(type);
}

static void attribute_reference(hid_t file)
{
    hobj_ref_t to;

    H5Rcreate(&to, file, "/norms", H5R_OBJECT, -1);
    attribute_of(file, H5T_STD_REF_OBJ, &to);
}

static void attribute_compound(hid_t file)
{
    const hid_t pair = pair_type();
    const double two[2] = {1, 2};

    attribute_of(file, pair, two);
    H5Tclose(pair);
}

static void groups_without_end(hid_t file)
{
    char path[64] = "/norms";

    for (int i = 0; i < 8; i++) {
        strcat(path, "/in");
        H5Gclose(H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
}

static void one_more_dataset(hid_t file)
{
    const hsize_t n = 1;
    const hid_t set = make(file, "/norms/other", 1, &n, H5P_DEFAULT);
    const double one = 1;

    H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &one);
    H5Dclose(set);
}

static const struct {
    void (*harm)(hid_t file);
    const char *says;
} structures[] = {
    {array_attribute, "attribute model_sha256 of /provenance is not one number or one"},
    {external_storage, "/norms/q has its values in another file"},
    {external_link, "/norms/q is a link that leads elsewhere"},
    {soft_link, "/norms/q is a link that leads elsewhere"},
    {group_in_itself, "is more than a file of ours holds"},
    {values_without_storage, "/norms/q has values that are nowhere in the file"},
    {contiguous_without_storage, "/sequences/nll has values that are nowhere"},
    {large_chunks, "/norms/q has chunks larger than 1 MiB"},
    {other_type, "/norms/type is neither a group nor a dataset"},
    {compound, "/norms/q is of a type that no dataset of ours has"},
    {text_of_any_length, "/norms/q is of a type that no dataset of ours has"},
    {rows_of_any_length, "/norms/q is of a type that no dataset of ours has"},
    {references, "/norms/q is of a type that no dataset of ours has"},
    {region_references, "/norms/q is of a type that no dataset of ours has"},
    {arrays, "/norms/q is of a type that no dataset of ours has"},
    {opaque, "/norms/q is of a type that no dataset of ours has"},
    {enumeration, "/norms/q is of a type that no dataset of ours has"},
    {big_endian, "/norms/q is of a type that no dataset of ours has"},
    {shared_type, "/norms/q is of a type that no dataset of ours has"},
    {nothing_at_all, "/norms/q has no readable shape"},
    {without_end, "/norms/q has a shape that no dataset of ours has"},
    {in_the_header, "/norms/q is stored as no dataset of ours is"},
    {other_filter, "/norms/q is stored through a filter that is not ours"},
    {virtual_dataset, "/norms/q is stored as no dataset of ours is"},
    {virtual_of_itself, "/norms/q is stored as no dataset of ours is"},
    {soft_links_in_a_ring, "/norms/q is a link that leads elsewhere"},
    {soft_link_to_nowhere, "/norms is a link that leads elsewhere"},
    {link_of_a_users_kind, "/norms/q is a link that leads elsewhere"},
    {attribute_of_any_length, "model_sha256 of /provenance is not one number or"},
    {attribute_reference, "model_sha256 of /provenance is not one number or"},
    {attribute_compound, "model_sha256 of /provenance is not one number or"},
    {groups_without_end, "is more than a file of ours holds"},
    {one_more_dataset, "holds /norms/other, which no capture has"},
};

static void a_foreign_structure_is_refused_by_name(void **state)
{
    const char *path = test_scratch("harm.h5");
    mls_capture *c;

    (void)state;
    for (size_t i = 0; i < sizeof structures / sizeof structures[0]; i++) {
        make_harm(path, structures[i].harm);
        assert_refused(mls_capture_open(&c, path, &err), MLS_E_INPUT,
                       structures[i].says);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foreign_structure_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
