/* Models in the Hugging Face hub's cache, by name; never the network. */
#ifndef MLS_HUB_H
#define MLS_HUB_H

/**
 * The folder that a command's MODEL means. What exists is taken as it is, but a folder
 * of the cache ("models--ORG--NAME", with snapshots/) stands for its snapshot. What
 * does not exist and reads like ORG/NAME or ORG/NAME@REVISION is looked up in the
 * cache, and standard error says what was found. Otherwise `name` itself.
 *
 * @return name, or text that is good until the next call
 */
const char *mls_hub_model(const char *name);

#endif
